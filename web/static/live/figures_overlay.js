// What the performer may look at while live, drawn over the portrait: latency with its last minute, rates, drops, bitrates.

const MINUTE = 60_000;
const [WIDTH, HEIGHT] = [240, 48]; // of the graph, in its own units
const STEP = 50; // ms: the graph's top is a multiple of it
const STAGES = ["decode", "wait", "track", "motion", "animate", "encode"];

export class Figures {
  #page;
  #history = []; // {time, p50, p95} of each look

  constructor(page) {
    this.#page = page;
    page.overlay.onclick = () => this.#toggle();
  }

  clear() {
    this.#history = [];
    this.#page.figures.querySelectorAll("[data-figure]").forEach((part) => (part.textContent = "–"));
    this.#page.figures.querySelector(".warnings").textContent = "";
    this.#draw(performance.now());
  }

  /** `latencies` are those of the pictures since the last call, `words` what to write into the element of each name. */
  show(latencies, words, warnings, stages) {
    const now = performance.now();
    this.#note(now, latencies);
    if (this.#page.figures.hidden) return;
    for (const [name, text] of Object.entries(words)) this.#page.figures.querySelector(`[data-figure="${name}"]`).textContent = text;
    this.#page.figures.querySelector(".warnings").textContent = warnings.join(" ");
    this.#bars(stages);
    this.#draw(now);
  }

  /** What the server does with a picture: a bar for each stage's median. */
  #bars(stages) {
    const medians = STAGES.map((name) => stages?.[name]?.p50 ?? 0);
    const longest = Math.max(1, ...medians);
    const rows = STAGES.map((name, i) => `<dt>${name}</dt><dd><i style="width:${(100 * medians[i]) / longest}%"></i></dd><dd>${medians[i].toFixed(1)}</dd>`);
    this.#page.figures.querySelector(".stages").innerHTML = rows.join("");
  }

  #toggle() {
    const { figures, overlay } = this.#page;
    figures.hidden = !figures.hidden;
    overlay.setAttribute("aria-pressed", String(!figures.hidden));
  }

  #note(time, latencies) {
    const sorted = [...latencies].sort((a, b) => a - b);
    const rank = (share) => sorted[Math.ceil(sorted.length * share) - 1];
    if (sorted.length) this.#history.push({ time, p50: rank(0.5), p95: rank(0.95) });
    this.#history = this.#history.filter((look) => look.time > time - MINUTE);
  }

  /** A line of the medians, and a shade up to what 95 of 100 pictures kept within. */
  #draw(now) {
    const { figures } = this.#page;
    const top = STEP * Math.max(1, Math.ceil(Math.max(0, ...this.#history.map(({ p95 }) => p95)) / STEP));
    const point = (time, value) => `${(WIDTH * (1 - (now - time) / MINUTE)).toFixed(1)},${(HEIGHT * (1 - value / top)).toFixed(1)}`;
    const line = (key) => this.#history.map((look) => point(look.time, look[key]));
    const [first, last] = [this.#history[0]?.time ?? now, this.#history.at(-1)?.time ?? now];
    figures.querySelector(".median").setAttribute("points", line("p50").join(" "));
    figures.querySelector(".most").setAttribute("points", [point(first, 0), ...line("p95"), point(last, 0)].join(" "));
    figures.querySelector(".top").textContent = `${top} ms`;
  }
}
