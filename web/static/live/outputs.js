// Where the puppet goes besides this page: a recording, a virtual camera, a page for OBS. The server says what is on.

export class Outputs {
  #page;
  #say;
  #connection = null;
  #problem = null; // of the recording, as told

  /** `say(words, bad)` tells the performer; `words` may be an element. */
  constructor(page, say) {
    this.#page = page;
    this.#say = say;
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
    this.hear({ recording: null, virtual_camera: null });
  }

  /** The server's statistics. */
  hear({ recording, virtual_camera }) {
    this.#press(this.#page.record, recording, recording ? `Stop · ${Math.round(recording.seconds)} s` : "Record");
    this.#press(this.#page["virtual-camera"], virtual_camera, "Virtual camera");
    const problem = recording?.problem ?? null; // it ended by itself; what was written can still be had
    if (problem && problem !== this.#problem) this.#say(problem, true);
    this.#problem = problem;
  }

  record() {
    return this.#attempt(() => this.#switchRecording());
  }

  async #switchRecording() {
    if (this.#page.record.getAttribute("aria-pressed") === "true") {
      const { url, seconds } = await this.#ask("recording", "DELETE");
      this.#press(this.#page.record, false, "Record");
      this.#say(link(url, `Download the recording (${Math.round(seconds)} s)`));
    } else {
      await this.#ask("recording", "PUT", { side_by_side: false });
      this.#press(this.#page.record, true, "Stop · 0 s");
      this.#say("Recording.");
    }
  }

  async #switchCamera() {
    const button = this.#page["virtual-camera"];
    const off = button.getAttribute("aria-pressed") === "true";
    const { device } = await this.#ask("virtual-camera", off ? "DELETE" : "PUT");
    this.#press(button, device, "Virtual camera");
    this.#say(device ? `Choose the camera “${device}” in the other program.` : "The virtual camera is off.");
  }

  async #attempt(action) {
    try {
      if (this.#connection) await action();
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  async #ask(path, method, content) {
    const body = content && { body: JSON.stringify(content), headers: { "Content-Type": "application/json" } };
    return (await this.#connection.ask(path, { method, ...body })).json();
  }

  #press(button, on, words) {
    button.setAttribute("aria-pressed", String(Boolean(on)));
    button.textContent = words;
  }

  #enable(on) {
    this.#page.record.disabled = this.#page["virtual-camera"].disabled = !on;
    this.#page.output.hidden = !on;
  }
}

function link(url, words) {
  const made = Object.assign(document.createElement("a"), { href: url.replace(/^\//, ""), textContent: words });
  made.download = "";
  return made;
}
