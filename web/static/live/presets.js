// Presets, named sets of options: those of the page, and the user's own, which this browser keeps and files carry.

import { element, page } from "../shared/dom.js";
import { recall, remember } from "../shared/storage.js";

const BUILT_IN = "Built-in presets";
const CUSTOM = "(changed)";

export class Presets {
  #builtIn;
  #saved = recall("presets", {});
  #options;

  /** `builtIn`: name -> what differs from the defaults. `options`: of the page. */
  constructor(builtIn, options) {
    this.#builtIn = builtIn;
    this.#options = options;
    page.preset.onchange = () => this.choose(page.preset.value);
    page["preset-reset"].onclick = () => this.choose(Object.keys(builtIn)[0]);
    page["preset-save"].onsubmit = (event) => this.#save(event);
    page["preset-delete"].onclick = () => this.#delete(page.preset.value);
    page["preset-export"].onclick = () => this.#export();
    page["preset-import"].onchange = () => this.#import(page["preset-import"].files[0]);
    this.compare();
  }

  choose(name) {
    const values = this.#saved[name] ?? this.#builtIn[name];
    if (!values) return;
    this.#options.replace(values);
    this.#list(name);
  }

  /** Show the name of the preset that the options are, or that they were changed by hand. */
  compare() {
    const values = this.#options.changed();
    const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    const all = { ...this.#builtIn, ...this.#saved };
    const name = Object.keys(all).find((name) => same(all[name], values));
    if (page.preset.value !== (name ?? CUSTOM)) this.#list(name ?? CUSTOM);
  }

  #list(chosen) {
    const option = (name) => new Option(name, name, false, name === chosen);
    const group = element("optgroup", { label: BUILT_IN }, ...Object.keys(this.#builtIn).map(option));
    const rest = Object.keys(this.#saved).map(option);
    page.preset.replaceChildren(...(chosen === CUSTOM ? [option(CUSTOM)] : []), ...rest, group);
    page["preset-delete"].disabled = !(chosen in this.#saved);
  }

  #save(event) {
    event.preventDefault();
    const name = page["preset-name"].value.trim();
    if (!name || name in this.#builtIn) return this.#showNote("A built-in preset has this name. Choose another.");
    this.#keep({ ...this.#saved, [name]: this.#options.changed() }, name);
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

  #export() {
    const name = page.preset.value === CUSTOM ? "my preset" : page.preset.value;
    const blob = new Blob([JSON.stringify({ puppet_preset: 1, name, options: this.#options.changed() }, null, 2)], { type: "application/json" });
    const link = element("a", { href: URL.createObjectURL(blob), download: `${name}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async #import(file) {
    page["preset-import"].value = "";
    try {
      const { puppet_preset, name, options } = JSON.parse(await file.text());
      if (puppet_preset !== 1 || typeof name !== "string" || !name || typeof options !== "object") throw new Error();
      const free = name in this.#builtIn ? `${name} (file)` : name.slice(0, 40);
      this.#options.replace(options);
      this.#keep({ ...this.#saved, [free]: options }, free);
      this.#showNote(`Imported “${free}”.`);
    } catch {
      this.#showNote("This file is not a preset. Choose a file that was exported here.");
    }
  }

  #showNote(text) {
    page["preset-note"].textContent = text;
  }
}
