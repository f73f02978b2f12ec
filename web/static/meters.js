// What the performer reads: pictures per second and latency, each from measurements of the last second.

const LIVE_MS = 500; // between looks while live
const EARLY_MS = 100; // until the first picture

/** The last few values of something. */
class Recent {
  #values = [];

  add(value) {
    if (Number.isFinite(value)) this.#values = [...this.#values.slice(-30), value];
  }

  get median() {
    return [...this.#values].sort((a, b) => a - b)[this.#values.length >> 1];
  }
}

export class Meters {
  #page;
  #connection = null;
  #pings = new Map();

  constructor(page) {
    this.#page = page;
    this.#onPicture(page.camera, (now, { captureTime }) => this.parts?.camera.add(now - captureTime));
    this.#onPicture(page.animated, (now, frame) => this.#painted(now, frame));
  }

  start(connection, onFrame) {
    this.#connection = connection;
    this.#onFrame = onFrame;
    this.painted = false;
    this.parts = { camera: new Recent(), encoding: new Recent(), network: new Recent(), server: new Recent(), screen: new Recent() };
    this.#look(connection);
  }

  stop() {
    this.#connection = null;
    this.#pings.clear();
    this.#page.fps.textContent = "– fps";
    this.#page.latency.textContent = "– ms";
  }

  /** The server's statistics. */
  hear(stats) {
    this.parts.server.add(stats.stages_ms.server.p50);
  }

  pong(id) {
    this.parts.network.add(performance.now() - this.#pings.get(id));
    this.#pings.delete(id);
  }

  #onFrame = () => {};

  #onPicture(video, callback) {
    const next = (now, frame) => {
      callback(now, frame);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback?.(next);
  }

  #painted(now, { receiveTime, expectedDisplayTime }) {
    if (!this.#connection) return;
    if (!this.painted) performance.mark("first-picture");
    this.painted = true;
    this.parts.screen.add(Math.max(now, expectedDisplayTime) - receiveTime);
    this.#onFrame();
  }

  async #look(connection) {
    let before = { ...(await connection.counts()), time: performance.now() };
    for (let id = 0; this.#connection === connection; id++) {
      this.#pings.set(id, performance.now());
      connection.send({ type: "ping", id });
      connection.send({ type: "stats" });
      await new Promise((resolve) => setTimeout(resolve, this.painted ? LIVE_MS : EARLY_MS));
      const after = { ...(await connection.counts()), time: performance.now() };
      if (this.painted && this.#connection === connection) this.#show(before, after);
      before = after;
    }
  }

  #show(before, after) {
    const fps = (1000 * (after.decoded - before.decoded)) / (after.time - before.time);
    this.parts.encoding.add((1000 * (after.encodeSeconds - before.encodeSeconds)) / (after.encoded - before.encoded));
    this.#page.fps.textContent = `${Math.round(fps)} fps`;
    const parts = Object.entries(this.parts).map(([name, recent]) => [name, recent.median ?? 0]);
    const sum = parts.reduce((total, [, value]) => total + value, 0);
    this.#page.latency.textContent = `${Math.round(sum)} ms`;
    this.#page.latency.title =
      `${parts.map(([name, value]) => `${name} ${value.toFixed(0)}`).join(" + ")} ms, ` +
      "medians of the last seconds: camera picture to page, browser’s encoder, round trip, server, arrival to screen. " +
      "The camera’s exposure and the monitor are not in it.";
  }
}
