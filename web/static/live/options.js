// The options of the animator, and Gradio's controls for them.

export class Settings {
  #defaults;
  #controls; // the names of the options that the page has controls for, in their order
  #tell;

  constructor(options, controls, tell) {
    this.#defaults = { ...options };
    this.#controls = controls;
    this.#tell = tell;
    this.options = { ...options };
    this.#reflect();
  }

  /** Gradio shows the controls a little later than the pictures. */
  async shown() {
    while (!document.getElementById("preset-note")) await new Promise(requestAnimationFrame);
    for (const name of this.#controls.filter(isColour)) colour(name).oninput = ({ target }) => this.set({ [name]: target.value });
    this.#reflect();
  }

  /** Take changes; the server and the page are told where they are any. */
  set(changes) {
    const news = Object.fromEntries(Object.entries(changes).filter(([name, value]) => value !== this.options[name]));
    if (!Object.keys(news).length) return;
    Object.assign(this.options, news);
    this.#reflect();
    this.#tell(news);
  }

  /** What differs from the defaults. */
  changed() {
    return Object.fromEntries(this.#controls.filter((name) => this.options[name] !== this.#defaults[name]).map((name) => [name, this.options[name]]));
  }

  /** The defaults, but for these; what is not known here, or is of another kind, is left out. */
  replace(values) {
    const fits = ([name, value]) => this.#controls.includes(name) && typeof value === typeof this.#defaults[name];
    this.set({ ...this.#defaults, ...Object.fromEntries(Object.entries(values).filter(fits)) });
    document.getElementById("apply").click(); // Gradio asks for `values`
  }

  toggle(name) {
    document.querySelector(`#option-${name} input[type=checkbox]`)?.click();
  }

  /** Of Gradio's controls, in their order. */
  values() {
    return this.#controls.filter((name) => !isColour(name)).map((name) => this.options[name]);
  }

  #reflect() {
    document.body.dataset.background = this.options.background;
    for (const name of this.#controls.filter(isColour)) if (colour(name)) colour(name).value = this.options[name];
  }
}

// Colours are chosen by the browser's own control.
const isColour = (name) => name.endsWith("colour");
const colour = (name) => document.querySelector(`#option-${name} input`);
