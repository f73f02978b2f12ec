// Glass-to-glass latency, measured frame by frame. The method and its error: realtime/webrtc/capture_clock.py.
// Times are milliseconds of performance.now(); the server's are seconds of its own clock.

const EXCHANGES = 60; // by which the two clocks are compared: half a minute
const KEPT = 300; // frames that only one side has reported so far

/** A map that forgets its oldest entries. */
class BoundedMap extends Map {
  set(key, value) {
    if (this.size >= KEPT) this.delete(this.keys().next().value);
    return super.set(key, value);
  }
}

export class GlassToGlass {
  #asked = new BoundedMap(); // question id -> when it was asked
  #exchanges = []; // {ahead: the server's clock before ours, plus the way up; trip: there and back}
  #shown = new BoundedMap(); // RTP timestamp of a frame -> when it was shown
  #served = new BoundedMap(); // RTP timestamp of a frame -> the server's times of it
  #since = 0;
  #id = 0;

  /** Return the next question for the server. */
  ask() {
    this.#asked.set(++this.#id, performance.now());
    return { id: this.#id, since: this.#since };
  }

  /** Record that a frame was handed to the screen. A browser that gives no RTP timestamp measures nothing here. */
  onShown(timestamp, time) {
    if (timestamp !== undefined) this.#shown.set(timestamp, time);
  }

  /** The round trip of the fastest question; undefined before the first answer. */
  get trip() {
    return this.#exchanges.length ? Math.min(...this.#exchanges.map(({ trip }) => trip)) : undefined;
  }

  /** Take the server's answer. Returns {latency, up, server, down} of each frame that it completes; latency is the sum. */
  onAnswer({ id, time, frames }) {
    this.#compareClocks(this.#asked.get(id), 1000 * time);
    this.#asked.delete(id);
    this.#since = time;
    for (const [timestamp, ...times] of frames) this.#served.set(timestamp, times);
    return [...this.#served.keys()].filter((timestamp) => this.#shown.has(timestamp)).map((timestamp) => this.#measure(timestamp));
  }

  #compareClocks(asked, answered) {
    if (asked === undefined) return;
    this.#exchanges = [...this.#exchanges.slice(1 - EXCHANGES), { ahead: answered - asked, trip: performance.now() - asked }];
  }

  #measure(timestamp) {
    const ahead = Math.min(...this.#exchanges.map((exchange) => exchange.ahead));
    const [captured, received, sent] = this.#served.get(timestamp).map((time) => 1000 * time - ahead);
    const shown = this.#shown.get(timestamp);
    this.#served.delete(timestamp);
    this.#shown.delete(timestamp);
    const way = this.trip / 2; // the fastest question is assumed to take as long up as down
    return { timestamp, latency: shown - captured, up: received - captured + way, server: sent - received, down: shown - sent - way };
  }
}
