// The portraits to choose from, and how one's own gets there: button, drop or paste.

import { ask } from "./connection.js";

export class Tray {
  #page;
  #onChoose;
  id; // of the portrait to show
  #files = new Map(); // id -> File, of the uploads

  constructor(page, names, onChoose) {
    this.#page = page;
    this.#onChoose = onChoose;
    this.id = names[0];
    names.forEach((name) => this.#add(name, name));
    this.#listen();
  }

  /** The id of the portrait to show, which the server knows. */
  async chosen() {
    await this.#restore(this.id);
    return this.id;
  }

  say(words, bad = false) {
    this.#page.note.textContent = words;
    this.#page.note.classList.toggle("bad", bad);
  }

  #listen() {
    const { upload } = this.#page;
    upload.onchange = () => this.#upload(upload.files).then(() => (upload.value = ""));
    addEventListener("paste", ({ clipboardData }) => this.#upload(clipboardData.files));
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      this.#upload(event.dataTransfer.files);
    });
  }

  async #upload([file]) {
    if (!file) return;
    this.say("Preparing the portrait …");
    try {
      const { id, warnings } = await this.#send(file);
      if (!this.#files.has(id)) this.#add(id, file.name);
      this.#files.set(id, file);
      await this.#choose(id);
      this.say(warnings.join(" "));
    } catch (error) {
      this.say(error.message, true);
    }
  }

  async #send(file) {
    return (await ask("portraits", { method: "POST", body: file })).json();
  }

  /** Upload again what the server has forgotten since. */
  async #restore(id) {
    const file = this.#files.get(id);
    if (file && (await fetch(`portraits/${id}`)).status === 404) await this.#send(file);
  }

  #add(id, name) {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "portrait", value: id });
    const image = Object.assign(document.createElement("img"), { src: `portraits/${encodeURIComponent(id)}`, alt: name });
    label.title = name;
    radio.checked = id === this.id;
    radio.onchange = () => this.#choose(id).then(() => this.say(""), (error) => this.say(error.message, true));
    label.append(radio, image);
    this.#page.tray.append(label);
  }

  async #choose(id) {
    await this.#restore(id);
    await this.#onChoose(id);
    this.id = id;
    this.#page.tray.querySelector(`input[value="${CSS.escape(id)}"]`).checked = true;
  }
}
