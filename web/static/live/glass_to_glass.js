// Latency from glass to glass, picture by picture, measured. The method and its error: realtime/webrtc/capture_clock.py.
// Times are milliseconds of performance.now(), the server's seconds of its own clock.

const EXCHANGES = 60; // that the clocks are compared by: half a minute
const KEPT = 300; // pictures told but not shown yet, or the other way round

/** A map that forgets its oldest. */
class Few extends Map {
  set(key, value) {
    if (this.size >= KEPT) this.delete(this.keys().next().value);
    return super.set(key, value);
  }
}

export class Glass {
  #asked = new Few(); // by the id of the question
  #exchanges = []; // {ahead: the server's clock before ours and the way up, trip: there and back}
  #shown = new Few(); // when, by the picture's RTP timestamp
  #told = new Few(); // what the server told of it, likewise
  #since = 0;
  #id = 0;

  /** What to ask the server for, now. */
  ask() {
    this.#asked.set(++this.#id, performance.now());
    return { id: this.#id, since: this.#since };
  }

  /** A picture was handed to the screen. Browsers that do not tell its RTP timestamp measure nothing here. */
  show(timestamp, time) {
    if (timestamp !== undefined) this.#shown.set(timestamp, time);
  }

  /** The round trip of the fastest question; undefined before the first answer. */
  get trip() {
    return this.#exchanges.length ? Math.min(...this.#exchanges.map(({ trip }) => trip)) : undefined;
  }

  /** The answer. Of each picture that it makes known: {latency, up, server, down}, where the last three add up to the first. */
  hear({ id, time, frames }) {
    this.#compare(this.#asked.get(id), 1000 * time);
    this.#asked.delete(id);
    this.#since = time;
    for (const [timestamp, ...times] of frames) this.#told.set(timestamp, times);
    return [...this.#told.keys()].filter((timestamp) => this.#shown.has(timestamp)).map((timestamp) => this.#measure(timestamp));
  }

  #compare(asked, told) {
    if (asked === undefined) return;
    this.#exchanges = [...this.#exchanges.slice(1 - EXCHANGES), { ahead: told - asked, trip: performance.now() - asked }];
  }

  #measure(timestamp) {
    const ahead = Math.min(...this.#exchanges.map((exchange) => exchange.ahead));
    const [captured, received, sent] = this.#told.get(timestamp).map((time) => 1000 * time - ahead);
    const shown = this.#shown.get(timestamp);
    this.#told.delete(timestamp);
    this.#shown.delete(timestamp);
    const way = this.trip / 2; // what the shortest way up is taken for where the two ways are told apart
    return { timestamp, latency: shown - captured, up: received - captured + way, server: sent - received, down: shown - sent - way };
  }
}
