// The figures that can be drawn over the portrait while live: latency over the last minute, rates, drops, bitrates.

import { page } from "../shared/dom.js";

const MINUTE = 60_000;
const [WIDTH, HEIGHT] = [240, 48]; // of the graph, in its own units
const STEP = 50; // ms: the graph's top is a multiple of it
const STAGES = ["decode", "wait", "track", "motion", "animate", "encode"];

export class FiguresOverlay {
  #history = []; // {time, p50, p95} of each update

  constructor() {
    page.overlay.onclick = () => this.#toggle();
  }

  clear() {
    this.#history = [];
    page.figures.querySelectorAll("[data-figure]").forEach((part) => (part.textContent = "–"));
    page.figures.querySelector(".warnings").textContent = "";
    this.#draw(performance.now());
  }

  /** `latencies` are those of the frames since the last call; `texts` holds the text of each figure by name. */
  show(latencies, texts, warnings, stages) {
    const now = performance.now();
    this.#record(now, latencies);
    if (page.figures.hidden) return;
    for (const [name, text] of Object.entries(texts)) page.figures.querySelector(`[data-figure="${name}"]`).textContent = text;
    page.figures.querySelector(".warnings").textContent = warnings.join(" ");
    this.#drawStages(stages);
    this.#draw(now);
  }

  /** Draw one bar for each stage of a frame on the server: its median time. */
  #drawStages(stages) {
    const medians = STAGES.map((name) => stages?.[name]?.p50 ?? 0);
    const longest = Math.max(1, ...medians);
    const rows = STAGES.map((name, i) => `<dt>${name}</dt><dd><i style="width:${(100 * medians[i]) / longest}%"></i></dd><dd>${medians[i].toFixed(1)}</dd>`);
    page.figures.querySelector(".stages").innerHTML = rows.join("");
  }

  #toggle() {
    const { figures, overlay } = page;
    figures.hidden = !figures.hidden;
    overlay.ariaPressed = !figures.hidden;
  }

  #record(time, latencies) {
    const sorted = [...latencies].sort((a, b) => a - b);
    const rank = (share) => sorted[Math.ceil(sorted.length * share) - 1];
    if (sorted.length) this.#history.push({ time, p50: rank(0.5), p95: rank(0.95) });
    this.#history = this.#history.filter((entry) => entry.time > time - MINUTE);
  }

  /** Draw a line of the medians, and a shade up to the 95th percentiles. */
  #draw(now) {
    const top = STEP * Math.max(1, Math.ceil(Math.max(0, ...this.#history.map(({ p95 }) => p95)) / STEP));
    const point = (time, value) => `${(WIDTH * (1 - (now - time) / MINUTE)).toFixed(1)},${(HEIGHT * (1 - value / top)).toFixed(1)}`;
    const line = (key) => this.#history.map((entry) => point(entry.time, entry[key]));
    const [first, last] = [this.#history[0]?.time ?? now, this.#history.at(-1)?.time ?? now];
    page.figures.querySelector(".median").setAttribute("points", line("p50").join(" "));
    page.figures.querySelector(".most").setAttribute("points", [point(first, 0), ...line("p95"), point(last, 0)].join(" "));
    page.figures.querySelector(".top").textContent = `${top} ms`;
  }
}
