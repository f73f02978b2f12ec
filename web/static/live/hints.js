// Short texts: hints over the picture, which stay long enough to be read, a countdown, and notes below the picture.

import { page, pause } from "../shared/dom.js";

const LONGEST_BLINK_MS = 800; // a hint that goes away sooner is not shown
const SHORTEST_MS = 1500;
const STEPS = 3; // of the countdown

export class Hints {
  #sentences; // by the server's code
  #since = null; // when there was a reason for a hint
  #until = 0;

  constructor(sentences) {
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
    if (page.hint.textContent !== text) page.hint.textContent = text;
  }
}

/** Count down before the driver's face becomes the neutral one. Resolves to whether it reached the end; `signal` ends it before. */
export async function countDown(signal) {
  page.countdown.hidden = false;
  for (let left = STEPS; left > 0 && !signal.aborted; left--) {
    page.countdown.innerHTML = `<b>${left}</b><span>Look straight at the camera and relax your face</span>`;
    await pause(1000, signal);
  }
  page.countdown.hidden = true;
  return !signal.aborted;
}

/** Show a note below the picture; `content` is a text or an element, `bad` marks a failure. */
export function showNote(content, bad = false) {
  page.note.replaceChildren(content);
  page.note.classList.toggle("bad", bad);
}

/** Do something that may fail; the note then says why. */
export async function attempt(action) {
  try {
    await action();
  } catch (error) {
    showNote(error.message, true);
  }
}
