// How the page looks: which pictures, full screen, with or without the panel. The browser remembers it.

import { page } from "../shared/dom.js";
import { recall, remember } from "../shared/storage.js";

export class Layout {
  constructor() {
    for (const radio of this.#radios()) radio.onchange = () => this.show(radio.value);
    page.hide.onclick = () => this.toggle();
    page.fullscreen.onclick = () => this.fullscreen();
    this.show(recall("view", "corner"));
    if (recall("bare", false)) this.toggle();
  }

  show(view) {
    page.live.querySelector(".views").dataset.view = view;
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
    page.hide.ariaPressed = bare;
    remember("bare", bare);
  }

  fullscreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else page.frame.requestFullscreen?.().catch(() => {});
  }

  #radios() {
    return [...page.live.querySelectorAll('input[name="view"]')];
  }
}
