// The options of the animator, and Gradio's controls for them.

import { page } from "../shared/dom.js";

export class Options {
  #defaults;
  #controls; // the names of the options that have a control, in the order of the controls
  #onChange;

  constructor(defaults, controls, onChange) {
    this.#defaults = defaults;
    this.#controls = controls;
    this.#onChange = onChange;
    this.values = { ...defaults };
    this.#reflect();
  }

  /** Wait until Gradio shows the controls, and connect those that are the browser's own. */
  async connectControls() {
    while (!page["preset-note"]) await new Promise(requestAnimationFrame);
    for (const name of this.#controls.filter(isColour)) colour(name).oninput = ({ target }) => this.set({ [name]: target.value });
    this.#reflect();
  }

  /** Set some options; `onChange` gets those that are new. */
  set(changes) {
    const news = Object.fromEntries(Object.entries(changes).filter(([name, value]) => value !== this.values[name]));
    if (!Object.keys(news).length) return;
    Object.assign(this.values, news);
    this.#reflect();
    this.#onChange(news);
  }

  /** Return what differs from the defaults. */
  changed() {
    return Object.fromEntries(this.#controls.filter((name) => this.values[name] !== this.#defaults[name]).map((name) => [name, this.values[name]]));
  }

  /** Set all options to their defaults but for these. Names and types that are unknown here are ignored. */
  replace(values) {
    const fits = ([name, value]) => this.#controls.includes(name) && typeof value === typeof this.#defaults[name];
    this.set({ ...this.#defaults, ...Object.fromEntries(Object.entries(values).filter(fits)) });
    page.apply.click(); // Gradio then asks for `controlValues`
  }

  toggle(name) {
    document.querySelector(`#option-${name} input[type=checkbox]`)?.click();
  }

  /** Return the values of Gradio's controls, in their order. */
  controlValues() {
    return this.#controls.filter((name) => !isColour(name)).map((name) => this.values[name]);
  }

  #reflect() {
    document.body.dataset.background = this.values.background;
    for (const name of this.#controls.filter(isColour)) if (colour(name)) colour(name).value = this.values[name];
  }
}

// Colours are chosen by the browser's own control.
const isColour = (name) => name.endsWith("colour");
const colour = (name) => document.querySelector(`#option-${name} input`);
