// The meters: frames per second, latency and drops, and on demand all figures. The server gets the same as a page report.

import { FiguresOverlay } from "./figures_overlay.js";
import { GlassToGlass } from "./glass_to_glass.js";
import { page, pause } from "../shared/dom.js";

const LIVE_MS = 500; // between updates while live
const EARLY_MS = 100; // between updates before the first frame
const FREEZE_INTERVALS = 3; // a frame that is shown for longer is a freeze
const LONGEST_VOICE_MS = 1000; // reported as the voice's delay at most
const SETTLED = 15; // frames until the interval is known

/** The last few values of a figure. */
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
  #figures = new FiguresOverlay();
  #connection = null;
  #onFrame;
  #stats = null; // the newest of the server
  #measured = []; // latencies that glass_to_glass.js has measured since the last report

  constructor() {
    this.#onFrameOf(page.camera, (now, { captureTime }) => this.parts?.camera.add(now - captureTime));
    this.#onFrameOf(page.animated, (now, frame) => this.#onPainted(now, frame));
    document.addEventListener("visibilitychange", () => (this.#shown = null)); // a hidden page shows no frames
  }

  start(connection, onFrame) {
    this.#connection = connection;
    this.#onFrame = onFrame;
    this.#stats = null;
    this.#shown = null;
    this.#freezes = 0;
    this.#gaps = new Recent();
    this.glassToGlass = new GlassToGlass();
    this.way = { up: new Recent(), server: new Recent(), down: new Recent() };
    this.painted = false;
    this.parts = { camera: new Recent(), encoding: new Recent(), network: new Recent(), server: new Recent(), screen: new Recent() };
    this.#update(connection);
  }

  stop() {
    this.#connection = null;
    page.fps.textContent = "– fps";
    page.latency.textContent = "– ms";
    page.drops.textContent = "– dropped";
    page.fps.classList.remove("warned");
    this.#figures.clear();
  }

  onStats(stats) {
    this.#stats = stats;
    this.parts.server.add(stats.stages_ms.server.p50);
    this.#connection?.limitRate(stats.rate);
  }

  /** Take the server's answer about its clock and its frames. */
  onFrames(message) {
    for (const frame of this.glassToGlass.onAnswer(message)) {
      this.#measured.push(frame.latency);
      for (const part of Object.keys(this.way)) this.way[part].add(frame[part]);
    }
    this.parts.network.add(this.glassToGlass.trip);
  }

  #shown = null; // when the frame on the screen appeared
  #freezes = 0;
  #gaps = new Recent();

  #onFrameOf(video, callback) {
    const next = (now, frame) => {
      callback(now, frame);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback?.(next);
  }

  #onPainted(now, { receiveTime, expectedDisplayTime, rtpTimestamp }) {
    if (!this.#connection) return;
    if (!this.painted) performance.mark("first-picture");
    const shown = performance.now();
    this.glassToGlass.onShown(rtpTimestamp, shown);
    if (this.#shown !== null) this.#recordGap(shown - this.#shown);
    this.#shown = shown;
    this.painted = true;
    this.parts.screen.add(Math.max(now, expectedDisplayTime) - receiveTime);
    this.#onFrame();
  }

  /** Record the time between two frames, in milliseconds. */
  #recordGap(gap) {
    if (this.#gaps.values.length >= SETTLED && gap > FREEZE_INTERVALS * this.#gaps.median) this.#freezes += 1;
    this.#gaps.add(gap);
  }

  async #update(connection) {
    let before = { ...(await connection.counts()), time: performance.now() };
    let rates = {};
    while (this.#connection === connection) {
      connection.send({ type: "view", ...this.glassToGlass.ask(), ...this.#report(rates) });
      connection.send({ type: "stats" });
      await pause(this.painted ? LIVE_MS : EARLY_MS);
      const after = { ...(await connection.counts()), time: performance.now() };
      rates = ratesBetween(before, after);
      if (this.painted && this.#connection === connection) this.#show(rates);
      before = after;
    }
  }

  /** Return the page report. */
  #report({ fps = 0, up = 0, down = 0, dropped = 0, held = 0 }) {
    const voice = held && Math.min(Math.max(0, held - (this.parts.screen.median ?? 0)), LONGEST_VOICE_MS);
    return { latencies: this.#measured.splice(0).map((ms) => Math.max(0, ms)), freezes: this.#freezes, fps, up, down, dropped, voice };
  }

  #show(rates) {
    this.parts.encoding.add(rates.encoding);
    const warnings = this.#stats?.warnings ?? [];
    page.fps.textContent = `${Math.round(rates.fps)} fps`;
    page.fps.title = ["Frames shown per second.", ...warnings].join(" ");
    page.fps.classList.toggle("warned", warnings.length > 0);
    const measured = this.#stats?.page?.glass_to_glass_ms;
    measured ? this.#showMeasured(measured) : this.#showEstimated();
    const texts = this.#texts(rates, measured);
    page.drops.textContent = `${texts.drops.split(" ")[0]} dropped`;
    this.#figures.show(this.#measured, texts, warnings, this.#stats?.stages_ms);
  }

  #showMeasured({ p50, p95 }) {
    const { latency } = page;
    latency.textContent = `${Math.round(p50)} ms`;
    latency.classList.remove("estimated");
    latency.title =
      `Glass-to-glass latency, measured on each frame: median ${p50.toFixed(0)} ms, 95th percentile ${p95.toFixed(0)} ms. ` +
      `${sum(this.way)} (camera to server, server, back to the screen). The delays of the camera and of the monitor are not included.`;
  }

  /** Show the sum of what is known: until frames are measured, and in browsers that cannot measure them. */
  #showEstimated() {
    const { latency } = page;
    const medians = Object.values(this.parts).map(({ median = 0 }) => median);
    latency.textContent = `${Math.round(medians.reduce((total, median) => total + median, 0))} ms`;
    latency.classList.add("estimated");
    latency.title =
      `Estimated latency: ${sum(this.parts)}, medians of the last seconds (camera to page, the browser’s encoder, round trip, server, ` +
      "arrival to screen). The delays of the camera and of the monitor are not included.";
  }

  #texts(rates, measured) {
    const { frames, fps, rate } = this.#stats ?? { frames: {}, fps: {} };
    const lost = (frames.dropped ?? 0) + rates.dropped;
    return {
      latency: measured ? `${Math.round(measured.p50)} ms` : page.latency.textContent,
      p95: measured ? `glass to glass, p95 ${Math.round(measured.p95)}` : "estimated",
      way: measured ? sum(this.way) : "–",
      fps: `${Math.round(fps.in ?? 0)} in, ${Math.round(rates.fps)} out${rate ? `, ${rate} requested` : ""}`,
      drops: `${lost} of ${frames.received ?? 0}`,
      freezes: `${this.#freezes}`,
      bitrate: `${(rates.up / 1e6).toFixed(1)} up, ${(rates.down / 1e6).toFixed(1)} down`,
    };
  }
}

const sum = (parts) => `${Object.entries(parts).map(([name, { median = 0 }]) => `${name} ${median.toFixed(0)}`).join(" + ")} ms`;

/** Compare two counts: {fps, up, down (bit/s), dropped (so far), encoding (ms a frame), held (ms until the voice is heard)}. */
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
