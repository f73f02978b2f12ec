// Where the portrait goes besides this page: a recording, a virtual camera, a page for OBS. The server reports what is on.

import { json } from "../shared/http.js";

export class Outputs {
  #page;
  #showNote;
  #connection = null;
  #problem = null; // of the recording, as it was shown

  /** `showNote(content, bad)` shows a note; `content` is a text or an element. */
  constructor(page, showNote) {
    this.#page = page;
    this.#showNote = showNote;
    page.record.onclick = () => this.record();
    page["virtual-camera"].onclick = () => this.#attempt(() => this.#switchCamera());
  }

  start(connection) {
    this.#connection = connection;
    this.#page.output.href = connection.url.replace("session/", "view/");
    this.#enable(true);
  }

  stop() {
    this.#connection = null;
    this.#enable(false);
    this.onStats({ recording: null, virtual_camera: null });
  }

  onStats({ recording, virtual_camera }) {
    this.#press(this.#page.record, recording, recording ? `Stop · ${Math.round(recording.seconds)} s` : "Record");
    this.#press(this.#page["virtual-camera"], virtual_camera, "Virtual camera");
    const problem = recording?.problem ?? null; // it ended by itself; what was recorded can still be downloaded
    if (problem && problem !== this.#problem) this.#showNote(problem, true);
    this.#problem = problem;
  }

  record() {
    return this.#attempt(() => this.#switchRecording());
  }

  async #switchRecording() {
    if (this.#page.record.getAttribute("aria-pressed") === "true") {
      const { url, seconds } = await this.#ask("recording", "DELETE");
      this.#press(this.#page.record, false, "Record");
      this.#showNote(link(url, `Download the recording (${Math.round(seconds)} s)`));
    } else {
      await this.#ask("recording", "PUT", { side_by_side: false });
      this.#press(this.#page.record, true, "Stop · 0 s");
      this.#showNote("Recording.");
    }
  }

  async #switchCamera() {
    const button = this.#page["virtual-camera"];
    const off = button.getAttribute("aria-pressed") === "true";
    const { device } = await this.#ask("virtual-camera", off ? "DELETE" : "PUT");
    this.#press(button, device, "Virtual camera");
    this.#showNote(device ? `Choose the camera “${device}” in the program that is to show it.` : "The virtual camera is off.");
  }

  async #attempt(action) {
    try {
      if (this.#connection) await action();
    } catch (error) {
      this.#showNote(error.message, true);
    }
  }

  async #ask(path, method, content) {
    return (await this.#connection.ask(path, content ? json(method, content) : { method })).json();
  }

  #press(button, on, label) {
    button.setAttribute("aria-pressed", String(Boolean(on)));
    button.textContent = label;
  }

  #enable(on) {
    this.#page.record.disabled = this.#page["virtual-camera"].disabled = !on;
    this.#page.output.hidden = !on;
  }
}

function link(url, text) {
  const made = Object.assign(document.createElement("a"), { href: url.replace(/^\//, ""), textContent: text });
  made.download = "";
  return made;
}
