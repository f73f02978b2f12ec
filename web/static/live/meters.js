// What the performer reads: pictures per second, latency, and on demand all figures. The server is told the same.

import { Figures } from "./figures_overlay.js";
import { Glass } from "./glass_to_glass.js";

const LIVE_MS = 500; // between looks while live
const EARLY_MS = 100; // until the first picture
const FREEZE_INTERVALS = 3; // a picture shown for longer is a freeze
const LONGEST_MS = 1000; // that a voice is told to be held
const SETTLED = 15; // pictures until the interval is known

/** The last few values of something. */
class Recent {
  values = [];

  add(value) {
    if (Number.isFinite(value)) this.values = [...this.values.slice(-30), value];
  }

  get median() {
    return [...this.values].sort((a, b) => a - b)[this.values.length >> 1];
  }
}

export class Meters {
  #page;
  #figures;
  #connection = null;
  #onFrame;
  #stats = null; // the server's newest
  #measured = []; // the pictures that glass_to_glass.js measured since the last look

  constructor(page) {
    this.#page = page;
    this.#figures = new Figures(page);
    this.#onPicture(page.camera, (now, { captureTime }) => this.parts?.camera.add(now - captureTime));
    this.#onPicture(page.animated, (now, frame) => this.#painted(now, frame));
    document.addEventListener("visibilitychange", () => (this.#shown = null)); // a hidden page is shown nothing
  }

  start(connection, onFrame) {
    this.#connection = connection;
    this.#onFrame = onFrame;
    this.#stats = null;
    this.#shown = null;
    this.#freezes = 0;
    this.#gaps = new Recent();
    this.glass = new Glass();
    this.way = { up: new Recent(), server: new Recent(), down: new Recent() };
    this.painted = false;
    this.parts = { camera: new Recent(), encoding: new Recent(), network: new Recent(), server: new Recent(), screen: new Recent() };
    this.#look(connection);
  }

  stop() {
    this.#connection = null;
    this.#page.fps.textContent = "– fps";
    this.#page.latency.textContent = "– ms";
    this.#page.drops.textContent = "– dropped";
    this.#page.fps.classList.remove("warned");
    this.#figures.clear();
  }

  /** The server's statistics. */
  hear(stats) {
    this.#stats = stats;
    this.parts.server.add(stats.stages_ms.server.p50);
    this.#connection?.limit(stats.rate);
  }

  /** The server's answer on its clock and its pictures. */
  told(message) {
    for (const picture of this.glass.hear(message)) {
      this.#measured.push(picture.latency);
      for (const part of Object.keys(this.way)) this.way[part].add(picture[part]);
    }
    this.parts.network.add(this.glass.trip);
  }

  #shown = null; // when the picture on the screen came there
  #freezes = 0;
  #gaps = new Recent();

  #onPicture(video, callback) {
    const next = (now, frame) => {
      callback(now, frame);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback?.(next);
  }

  #painted(now, { receiveTime, expectedDisplayTime, rtpTimestamp }) {
    if (!this.#connection) return;
    if (!this.painted) performance.mark("first-picture");
    const shown = performance.now();
    this.glass.show(rtpTimestamp, shown);
    if (this.#shown !== null) this.#passed(shown - this.#shown);
    this.#shown = shown;
    this.painted = true;
    this.parts.screen.add(Math.max(now, expectedDisplayTime) - receiveTime);
    this.#onFrame();
  }

  /** So much time from one picture to the next. */
  #passed(gap) {
    if (this.#gaps.values.length >= SETTLED && gap > FREEZE_INTERVALS * this.#gaps.median) this.#freezes += 1;
    this.#gaps.add(gap);
  }

  async #look(connection) {
    let before = { ...(await connection.counts()), time: performance.now() };
    let rates = {};
    while (this.#connection === connection) {
      connection.send({ type: "view", ...this.glass.ask(), ...this.#view(rates) });
      connection.send({ type: "stats" });
      await new Promise((resolve) => setTimeout(resolve, this.painted ? LIVE_MS : EARLY_MS));
      const after = { ...(await connection.counts()), time: performance.now() };
      rates = ratesBetween(before, after);
      if (this.painted && this.#connection === connection) this.#show(rates);
      before = after;
    }
  }

  /** What the server is told. */
  #view({ fps = 0, up = 0, down = 0, dropped = 0, held = 0 }) {
    const voice = held && Math.min(Math.max(0, held - (this.parts.screen.median ?? 0)), LONGEST_MS);
    return { latencies: this.#measured.splice(0).map((ms) => Math.max(0, ms)), freezes: this.#freezes, fps, up, down, dropped, voice };
  }

  #show(rates) {
    this.parts.encoding.add(rates.encoding);
    const warnings = this.#stats?.warnings ?? [];
    this.#page.fps.textContent = `${Math.round(rates.fps)} fps`;
    this.#page.fps.title = ["Pictures shown per second.", ...warnings].join(" ");
    this.#page.fps.classList.toggle("warned", warnings.length > 0);
    const measured = this.#stats?.page?.glass_to_glass_ms;
    measured ? this.#showMeasured(measured) : this.#showEstimated();
    const words = this.#words(rates, measured);
    this.#page.drops.textContent = `${words.drops.split(" ")[0]} dropped`;
    this.#figures.show(this.#measured, words, warnings, this.#stats?.stages_ms);
  }

  #showMeasured({ p50, p95 }) {
    const { latency } = this.#page;
    latency.textContent = `${Math.round(p50)} ms`;
    latency.classList.remove("estimated");
    latency.title =
      `From glass to glass: half of the last pictures within ${p50.toFixed(0)} ms, 95 of 100 within ${p95.toFixed(0)} ms, measured on each: ` +
      `${sum(this.way)} (camera to server, server, back to the screen). The camera’s own delay and the monitor’s are not in it.`;
  }

  /** Until pictures are measured, and in browsers that cannot: the sum of what can be known. */
  #showEstimated() {
    const { latency } = this.#page;
    const medians = Object.values(this.parts).map(({ median = 0 }) => median);
    latency.textContent = `${Math.round(medians.reduce((total, median) => total + median, 0))} ms`;
    latency.classList.add("estimated");
    latency.title =
      `An estimate: ${sum(this.parts)}, medians of the last seconds: camera picture to page, browser’s encoder, round trip, server, arrival to ` +
      "screen. The camera’s own delay and the monitor’s are not in it.";
  }

  #words(rates, measured) {
    const { frames, fps, rate } = this.#stats ?? { frames: {}, fps: {} };
    const lost = (frames.dropped ?? 0) + rates.dropped;
    return {
      latency: measured ? `${Math.round(measured.p50)} ms` : this.#page.latency.textContent,
      p95: measured ? `glass to glass, p95 ${Math.round(measured.p95)}` : "estimated",
      way: measured ? sum(this.way) : "–",
      fps: `${Math.round(fps.in ?? 0)} in, ${Math.round(rates.fps)} out${rate ? `, ${rate} asked` : ""}`,
      drops: `${lost} of ${frames.received ?? 0}`,
      freezes: `${this.#freezes}`,
      bitrate: `${(rates.up / 1e6).toFixed(1)} up, ${(rates.down / 1e6).toFixed(1)} down`,
    };
  }
}

const sum = (parts) => `${Object.entries(parts).map(([name, { median = 0 }]) => `${name} ${median.toFixed(0)}`).join(" + ")} ms`;

/** From two counts: {fps, up, down (bit/s), dropped (so far), encoding (ms a picture), held (ms, the voice until it is heard)}. */
function ratesBetween(before, after) {
  const seconds = (after.time - before.time) / 1000;
  const since = (name) => Math.max(0, after[name] - before[name]);
  return {
    fps: since("decoded") / seconds,
    up: (8 * since("sentBytes")) / seconds,
    down: (8 * since("receivedBytes")) / seconds,
    dropped: after.dropped,
    encoding: (1000 * since("encodeSeconds")) / since("encoded"),
    held: since("heard") && (1000 * since("heldSeconds")) / since("heard") + (1000 * since("playedSeconds")) / (since("played") || 1),
  };
}
