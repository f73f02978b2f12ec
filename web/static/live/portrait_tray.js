// The portraits to choose from, and the ways to add one: button, drop, paste or snapshot.

import { snapshot } from "./devices.js";
import { attempt, showNote } from "./hints.js";
import { element, page } from "../shared/dom.js";
import { askJson } from "../shared/http.js";
import { recall, remember } from "../shared/storage.js";

const KEYS = 9; // portraits that have a digit key

export class PortraitTray {
  #onChoose;
  id; // the chosen portrait
  #files = new Map(); // id of an upload -> its File
  #choices = 0; // so far: the newest wins

  constructor(names, onChoose) {
    this.#onChoose = onChoose;
    this.id = names[0];
    names.forEach((id) => this.#add(id, nameOf(id)));
    for (const [id, name] of recall("portraits", [], sessionStorage)) if (!names.includes(id)) this.#add(id, name);
    this.#listen();
  }

  /** Return the id of the chosen portrait, which the server then knows. */
  async chosen() {
    await this.#restore(this.id);
    return this.id;
  }

  /** Choose a portrait by its place, from 0; do nothing where there is none. */
  pick(place) {
    const input = page.tray.querySelectorAll("input")[place];
    if (input && input.value !== this.id) input.onchange();
  }

  #listen() {
    const { upload } = page;
    upload.onchange = () => this.#upload([...upload.files]).then(() => (upload.value = ""));
    page.snapshot.onclick = () => attempt(() => this.#take());
    addEventListener("paste", ({ clipboardData }) => this.#upload([...clipboardData.files]));
    addEventListener("drop", (event) => {
      if (!event.target.closest?.("#drop")) this.#upload([...event.dataTransfer.files]);
    });
  }

  async #take() {
    showNote("Look at the camera …");
    await this.#upload([await snapshot(page.camera)]);
  }

  /** Have the server prepare each file in turn; the last one is shown. */
  async #upload(files) {
    for (const file of files) {
      const progress = element("progress", { ariaLabel: `Preparing ${file.name}` });
      const placeholder = element("span", { className: "preparing", title: file.name }, progress);
      page.tray.append(placeholder);
      showNote("Preparing the portrait …");
      await attempt(async () => {
        const { id, warnings } = await this.#send(file);
        if (!this.#input(id)) this.#add(id, file.name);
        this.#files.set(id, file);
        this.#keep();
        await this.#choose(id);
        showNote(warnings.join(" "));
      });
      placeholder.remove();
    }
  }

  #send(file) {
    return askJson(`portraits?${new URLSearchParams({ name: file.name })}`, { method: "POST", body: file });
  }

  /** Upload a portrait again that the server has forgotten. */
  async #restore(id) {
    const file = this.#files.get(id);
    if (file && (await fetch(`portraits/${encodeURIComponent(id)}`)).status === 404) await this.#send(file);
  }

  #add(id, name) {
    const radio = element("input", { type: "radio", name: "portrait", value: id, checked: id === this.id });
    const image = element("img", { src: `portraits/${encodeURIComponent(id)}`, alt: name });
    const place = page.tray.querySelectorAll("input").length + 1;
    const label = element("label", { title: place > KEYS ? name : `${name} (${place})` }, radio, image);
    image.onerror = () => this.#forget(id, label); // the server was restarted and knows it no more
    radio.onchange = () => attempt(() => this.#choose(id).then(() => showNote("")));
    page.tray.append(label);
  }

  #forget(id, label) {
    if (id !== this.id) label.remove();
    this.#keep();
  }

  /** Remember the uploads of this tab, for when it is loaded again. */
  #keep() {
    const uploads = [...page.tray.querySelectorAll("img")].map((image) => [image.previousSibling.value, image.alt]);
    remember("portraits", uploads, sessionStorage);
  }

  async #choose(id) {
    const turn = ++this.#choices;
    await this.#restore(id);
    await this.#onChoose(id);
    if (turn !== this.#choices) return;
    this.id = id;
    this.#input(id).checked = true;
  }

  #input(id) {
    return page.tray.querySelector(`input[value="${CSS.escape(id)}"]`);
  }
}

/** Return the name without the hash that the server appends to kept files. */
function nameOf(id) {
  return id.replace(/-[0-9a-f]{8}$/, "");
}
