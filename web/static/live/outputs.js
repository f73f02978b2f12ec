// Where the portrait goes besides this page: a recording, a virtual camera, a page for OBS. The server reports what is on.

import { attempt, showNote } from "./hints.js";
import { element, page } from "../shared/dom.js";
import { json } from "../shared/http.js";

export class Outputs {
  #connection = null;
  #problem = null; // of the recording, as it was shown

  constructor() {
    page.record.onclick = () => this.record();
    page["virtual-camera"].onclick = () => attempt(() => this.#switchCamera());
  }

  start(connection) {
    this.#connection = connection;
    page.output.href = connection.url.replace("session/", "view/");
    this.#enable(true);
  }

  stop() {
    this.#connection = null;
    this.#enable(false);
    this.onStats({ recording: null, virtual_camera: null });
  }

  onStats({ recording, virtual_camera }) {
    this.#press(page.record, recording, recording ? `Stop · ${Math.round(recording.seconds)} s` : "Record");
    this.#press(page["virtual-camera"], virtual_camera, "Virtual camera");
    const problem = recording?.problem ?? null; // it ended by itself; what was recorded can still be downloaded
    if (problem && problem !== this.#problem) showNote(problem, true);
    this.#problem = problem;
  }

  record() {
    if (this.#connection) attempt(() => this.#switchRecording());
  }

  async #switchRecording() {
    if (page.record.ariaPressed === "true") {
      const { url, seconds } = await this.#connection.ask("recording", { method: "DELETE" });
      this.#press(page.record, false, "Record");
      const text = `Download the recording (${Math.round(seconds)} s)`;
      showNote(element("a", { href: url.replace(/^\//, ""), textContent: text, download: "" }));
    } else {
      await this.#connection.ask("recording", json("PUT", { side_by_side: false }));
      this.#press(page.record, true, "Stop · 0 s");
      showNote("Recording.");
    }
  }

  async #switchCamera() {
    const button = page["virtual-camera"];
    const off = button.ariaPressed === "true";
    const { device } = await this.#connection.ask("virtual-camera", { method: off ? "DELETE" : "PUT" });
    this.#press(button, device, "Virtual camera");
    showNote(device ? `Choose the camera “${device}” in the program that is to show it.` : "The virtual camera is off.");
  }

  #press(button, on, label) {
    button.ariaPressed = Boolean(on);
    button.textContent = label;
  }

  #enable(on) {
    page.record.disabled = page["virtual-camera"].disabled = !on;
    page.output.hidden = !on;
  }
}
