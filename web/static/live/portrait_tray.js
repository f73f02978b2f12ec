// The portraits to choose from, and how one's own gets there: button, drop, paste or snapshot.

import { ask } from "./connection.js";
import { snapshot } from "./snapshot.js";
import { recall, remember } from "../shared/storage.js";

const KEYS = 9; // of them have a digit

export class Tray {
  #page;
  #onChoose;
  id; // of the portrait to show
  #files = new Map(); // id -> File, of the uploads
  #wanted = 0; // counts choices: the newest wins

  constructor(page, names, onChoose) {
    this.#page = page;
    this.#onChoose = onChoose;
    this.id = names[0];
    names.forEach((id) => this.#add(id, nameOf(id)));
    for (const [id, name] of recall("portraits", [], sessionStorage)) if (!names.includes(id)) this.#add(id, name);
    this.#listen();
  }

  /** The id of the portrait to show, which the server knows. */
  async chosen() {
    await this.#restore(this.id);
    return this.id;
  }

  /** Choose by place, from 0; nothing where there is none. */
  pick(place) {
    const input = this.#page.tray.querySelectorAll("input")[place];
    if (input && input.value !== this.id) this.#attempt(input.value);
  }

  /** Tell the performer; `words` may be an element. */
  say(words, bad = false) {
    this.#page.note.replaceChildren(words);
    this.#page.note.classList.toggle("bad", bad);
  }

  #listen() {
    const { upload, snapshot: button, camera } = this.#page;
    upload.onchange = () => this.#upload([...upload.files]).then(() => (upload.value = ""));
    button.onclick = () => this.#take(camera);
    addEventListener("paste", ({ clipboardData }) => this.#upload([...clipboardData.files]));
    addEventListener("drop", (event) => {
      if (!event.target.closest?.("#drop")) this.#upload([...event.dataTransfer.files]);
    });
  }

  async #take(camera) {
    try {
      this.say("Look at the camera …");
      await this.#upload([await snapshot(camera)]);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  /** Each is prepared in turn; the last one is shown. */
  async #upload(files) {
    for (const file of files) {
      const waiting = this.#wait(file);
      this.say("Preparing the portrait …");
      try {
        const { id, warnings } = await this.#send(file);
        if (!this.#input(id)) this.#add(id, file.name);
        this.#files.set(id, file);
        this.#keep();
        await this.#choose(id);
        this.say(warnings.join(" "));
      } catch (error) {
        this.say(error.message, true);
      } finally {
        waiting.remove();
      }
    }
  }

  async #send(file) {
    return (await ask(`portraits?${new URLSearchParams({ name: file.name })}`, { method: "POST", body: file })).json();
  }

  /** Upload again what the server has forgotten since. */
  async #restore(id) {
    const file = this.#files.get(id);
    if (file && (await fetch(`portraits/${encodeURIComponent(id)}`)).status === 404) await this.#send(file);
  }

  /** A place for what is being prepared. */
  #wait(file) {
    const place = document.createElement("span");
    place.className = "preparing";
    place.title = file.name;
    place.append(document.createElement("progress"));
    place.firstChild.setAttribute("aria-label", `Preparing ${file.name}`);
    this.#page.tray.append(place);
    return place;
  }

  #add(id, name) {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "portrait", value: id });
    const image = Object.assign(document.createElement("img"), { src: `portraits/${encodeURIComponent(id)}`, alt: name });
    const place = this.#page.tray.querySelectorAll("input").length + 1;
    label.title = place > KEYS ? name : `${name} (${place})`;
    image.onerror = () => this.#forget(id, label); // of an earlier start of the server
    radio.checked = id === this.id;
    radio.onchange = () => this.#attempt(id);
    label.append(radio, image);
    this.#page.tray.append(label);
  }

  #forget(id, label) {
    if (id !== this.id) label.remove();
    this.#keep();
  }

  /** The uploads of this tab, for when it is loaded again. */
  #keep() {
    const uploads = [...this.#page.tray.querySelectorAll("img")].map((image) => [image.previousSibling.value, image.alt]);
    remember("portraits", uploads, sessionStorage);
  }

  #attempt(id) {
    return this.#choose(id).then(
      () => this.say(""),
      (error) => this.say(error.message, true),
    );
  }

  async #choose(id) {
    const turn = ++this.#wanted;
    await this.#restore(id);
    await this.#onChoose(id);
    if (turn !== this.#wanted) return;
    this.id = id;
    this.#input(id).checked = true;
  }

  #input(id) {
    return this.#page.tray.querySelector(`input[value="${CSS.escape(id)}"]`);
  }
}

/** Without the mark that a remembered file's name ends with. */
function nameOf(id) {
  return id.replace(/-[0-9a-f]{8}$/, "");
}
