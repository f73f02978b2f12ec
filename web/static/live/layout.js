// How the page looks: which pictures, full screen, with or without the panel. The browser remembers it.

import { recall, remember } from "../shared/storage.js";

export class Layout {
  #root;
  #page;

  constructor(root, page) {
    this.#root = root;
    this.#page = page;
    for (const radio of this.#radios()) radio.onchange = () => this.show(radio.value);
    page.hide.onclick = () => this.toggle();
    page.fullscreen.onclick = () => this.fullscreen();
    this.show(recall("view", "corner"));
    if (recall("bare", false)) this.toggle();
  }

  show(view) {
    this.#root.querySelector(".views").dataset.view = view;
    for (const radio of this.#radios()) radio.checked = radio.value === view;
    remember("view", view);
  }

  next() {
    const radios = this.#radios();
    this.show(radios[(radios.findIndex(({ checked }) => checked) + 1) % radios.length].value);
  }

  /** Hide the panel, or show it again. */
  toggle() {
    const bare = document.body.classList.toggle("bare");
    this.#page.hide.setAttribute("aria-pressed", String(bare));
    remember("bare", bare);
  }

  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.#page.frame.requestFullscreen?.().catch(() => {});
  }

  #radios() {
    return [...this.#root.querySelectorAll('input[name="view"]')];
  }
}
