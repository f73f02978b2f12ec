// Presets, named sets of options: those of the page, and the user's own, which this browser keeps and files carry.

import { recall, remember } from "../shared/storage.js";

const BUILT_IN = "Built-in presets";
const CUSTOM = "(changed)";

export class Presets {
  #ids = ["preset", "preset-reset", "preset-save", "preset-name", "preset-delete", "preset-export", "preset-import", "preset-note"];
  #page;
  #builtIn;
  #saved = recall("presets", {});
  #onChoose;

  /** `builtIn`: name -> what differs from the defaults. `read()` returns what differs now; `onChoose` gets it from a preset. */
  constructor(builtIn, read, onChoose) {
    this.#page = Object.fromEntries(this.#ids.map((id) => [id, document.getElementById(id)]));
    this.#builtIn = builtIn;
    this.#onChoose = onChoose;
    const page = this.#page;
    page.preset.onchange = () => this.choose(page.preset.value);
    page["preset-reset"].onclick = () => this.choose(Object.keys(builtIn)[0]);
    page["preset-save"].onsubmit = (event) => this.#save(event, read());
    page["preset-delete"].onclick = () => this.#delete(page.preset.value);
    page["preset-export"].onclick = () => this.#export(read());
    page["preset-import"].onchange = () => this.#import(page["preset-import"].files[0]);
    this.compare(read());
  }

  choose(name) {
    const values = this.#saved[name] ?? this.#builtIn[name];
    if (!values) return;
    this.#onChoose(values);
    this.#list(name);
  }

  /** Show the name of the preset that has these values, or that they were changed by hand. */
  compare(values) {
    const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    const all = { ...this.#builtIn, ...this.#saved };
    const name = Object.keys(all).find((name) => same(all[name], values));
    if (this.#page.preset.value !== (name ?? CUSTOM)) this.#list(name ?? CUSTOM);
  }

  #list(chosen) {
    const option = (name) => new Option(name, name, false, name === chosen);
    const group = Object.assign(document.createElement("optgroup"), { label: BUILT_IN });
    group.append(...Object.keys(this.#builtIn).map(option));
    const rest = Object.keys(this.#saved).map(option);
    this.#page.preset.replaceChildren(...(chosen === CUSTOM ? [option(CUSTOM)] : []), ...rest, group);
    this.#page["preset-delete"].disabled = !(chosen in this.#saved);
  }

  #save(event, values) {
    event.preventDefault();
    const name = this.#page["preset-name"].value.trim();
    if (!name || name in this.#builtIn) return this.#showNote("A built-in preset has this name. Choose another.");
    this.#keep({ ...this.#saved, [name]: values }, name);
    this.#showNote(`Saved “${name}” in this browser.`);
  }

  #delete(name) {
    const { [name]: _, ...rest } = this.#saved;
    this.#keep(rest, CUSTOM);
    this.#showNote(`Deleted “${name}”.`);
  }

  #keep(saved, chosen) {
    this.#saved = saved;
    remember("presets", saved);
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
      const free = name in this.#builtIn ? `${name} (file)` : name.slice(0, 40);
      this.#onChoose(options);
      this.#keep({ ...this.#saved, [free]: options }, free);
      this.#showNote(`Imported “${free}”.`);
    } catch {
      this.#showNote("This file is not a preset. Choose a file that was exported here.");
    }
  }

  #showNote(text) {
    this.#page["preset-note"].textContent = text;
  }
}
