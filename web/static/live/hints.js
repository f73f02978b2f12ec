// Short words over the picture: what the performer should do to be seen. They stay long enough to be read.

const WORDS = {
  lost: "I cannot see your face",
  dark: "Too dark: turn a light on",
  several: "Several faces: the one that was first is followed",
  border: "At the border: move to the middle",
  far: "Too far away: come closer",
};
const LONGEST_BLINK = 800; // milliseconds: what comes and goes within is not said
const SHORTEST = 1500;

export class Hints {
  #element;
  #since = null; // when the trouble began
  #until = 0;

  constructor(element) {
    this.#element = element;
  }

  /** The server's statistics; null: nobody performs. */
  hear(stats) {
    const now = performance.now();
    const kind = stats && (stats.hint === "dark" || stats.state !== "lost" ? stats.hint : "lost");
    if (!kind) this.#since = null;
    else this.#since ??= now;
    if (kind && now - this.#since >= LONGEST_BLINK) {
      this.#say(WORDS[kind]);
      this.#until = now + SHORTEST;
    } else if (!stats || now > this.#until) this.#say("");
  }

  #say(words) {
    if (this.#element.textContent !== words) this.#element.textContent = words;
  }
}
