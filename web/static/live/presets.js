// Named sets of options: the page's own and the performer's, which this browser keeps and a file can carry.

import { recall, remember } from "../shared/storage.js";

const OWN = "Presets of the page";
const CUSTOM = "(changed)";

export class Presets {
  #ids = ["preset", "preset-reset", "preset-save", "preset-name", "preset-delete", "preset-export", "preset-import", "preset-note"];
  #page;
  #given;
  #mine = recall("presets", {});
  #onChoose;

  /** `given`: name -> what differs from the defaults; `read()` gives what differs now; `onChoose` gets it of a preset. */
  constructor(given, read, onChoose) {
    this.#page = Object.fromEntries(this.#ids.map((id) => [id, document.getElementById(id)]));
    this.#given = given;
    this.#onChoose = onChoose;
    const page = this.#page;
    page.preset.onchange = () => this.choose(page.preset.value);
    page["preset-reset"].onclick = () => this.choose(Object.keys(given)[0]);
    page["preset-save"].onsubmit = (event) => this.#save(event, read());
    page["preset-delete"].onclick = () => this.#delete(page.preset.value);
    page["preset-export"].onclick = () => this.#export(read());
    page["preset-import"].onchange = () => this.#import(page["preset-import"].files[0]);
    this.#list(Object.keys(given)[0]);
  }

  choose(name) {
    const values = this.#mine[name] ?? this.#given[name];
    if (!values) return;
    this.#onChoose(values);
    this.#list(name);
  }

  /** A control was moved by hand: what is set now is none of the presets, or this one. */
  compare(values) {
    const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    const all = { ...this.#given, ...this.#mine };
    const name = Object.keys(all).find((name) => same(all[name], values));
    if (this.#page.preset.value !== (name ?? CUSTOM)) this.#list(name ?? CUSTOM);
  }

  #list(chosen) {
    const option = (name) => new Option(name, name, false, name === chosen);
    const group = Object.assign(document.createElement("optgroup"), { label: OWN });
    group.append(...Object.keys(this.#given).map(option));
    const rest = Object.keys(this.#mine).map(option);
    this.#page.preset.replaceChildren(...(chosen === CUSTOM ? [option(CUSTOM)] : []), ...rest, group);
    this.#page["preset-delete"].disabled = !(chosen in this.#mine);
  }

  #save(event, values) {
    event.preventDefault();
    const name = this.#page["preset-name"].value.trim();
    if (!name || name in this.#given) return this.#say("Choose another name.");
    this.#keep({ ...this.#mine, [name]: values }, name);
    this.#say(`Saved “${name}” in this browser.`);
  }

  #delete(name) {
    const { [name]: _, ...rest } = this.#mine;
    this.#keep(rest, CUSTOM);
    this.#say(`Deleted “${name}”.`);
  }

  #keep(mine, chosen) {
    this.#mine = mine;
    remember("presets", mine);
    this.#list(chosen);
  }

  #export(values) {
    const name = this.#page.preset.value === CUSTOM ? "my preset" : this.#page.preset.value;
    const blob = new Blob([JSON.stringify({ puppet_preset: 1, name, options: values }, null, 2)], { type: "application/json" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async #import(file) {
    this.#page["preset-import"].value = "";
    try {
      const { puppet_preset, name, options } = JSON.parse(await file.text());
      if (puppet_preset !== 1 || typeof name !== "string" || !name || typeof options !== "object") throw new Error();
      const free = name in this.#given ? `${name} (file)` : name.slice(0, 40);
      this.#onChoose(options);
      this.#keep({ ...this.#mine, [free]: options }, free);
      this.#say(`Imported “${free}”.`);
    } catch {
      this.#say("This file is no preset; choose one that was exported here.");
    }
  }

  #say(words) {
    this.#page["preset-note"].textContent = words;
  }
}
