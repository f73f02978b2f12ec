// Short sentences over the picture: what the driver should do to be seen better. They stay long enough to be read.

const LONGEST_BLINK_MS = 800; // a hint that goes away sooner is not shown
const SHORTEST_MS = 1500;

export class Hints {
  #element;
  #sentences; // by the server's code
  #since = null; // when there was a reason for a hint
  #until = 0;

  constructor(element, sentences) {
    this.#element = element;
    this.#sentences = sentences;
  }

  onStats({ hint, state }) {
    this.#update(hint === "dark" || state !== "lost" ? hint : "lost");
  }

  clear() {
    this.#until = 0;
    this.#update(null);
  }

  #update(code) {
    const now = performance.now();
    if (!code) this.#since = null;
    else this.#since ??= now;
    if (code && now - this.#since >= LONGEST_BLINK_MS) {
      this.#show(this.#sentences[code]);
      this.#until = now + SHORTEST_MS;
    } else if (now > this.#until) this.#show("");
  }

  #show(text) {
    if (this.#element.textContent !== text) this.#element.textContent = text;
  }
}
