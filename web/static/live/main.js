// The page: one Puppet ties the elements to the performer, the portraits, the options and the meters.

import { countDown } from "./countdown.js";
import { openCamera, openDemo, openStream } from "./driver.js";
import { Hints } from "./hints.js";
import { listen } from "./hotkeys.js";
import { Meters } from "./meters.js";
import { Outputs } from "./outputs.js";
import { Performer } from "./live_run.js";
import { Presets } from "./presets.js";
import { Settings } from "./options.js";
import { recall, remember } from "../shared/storage.js";
import { Tray } from "./portrait_tray.js";
import { Views } from "./layout.js";

const WORDS = {
  connecting: "Looking for your face: look at the camera.",
  live: "Live: the portrait follows you.",
  lost: "Your face is out of view: come back to the middle of the picture.",
  error: "The server fails to draw the pictures, so the portrait rests; its console says why.",
};
const CALIBRATED = "Your face as it is now is the new neutral.";
const CAMERA = { open: openCamera, idle: "Press Start: your camera’s picture moves the portrait.", opening: "Allow the camera if your browser asks." };
const STREAM = { open: openStream, idle: "Press Start to see the portrait that the stream moves.", opening: "Connecting …" };
const DEMO = { open: openDemo, opening: "Preparing the demo driver; the first time takes some seconds." };

class Puppet {
  #driver; // what Start opens
  #performer;
  #counting = false;

  constructor(root, { portraits, options, iceServers, controls, presets, whip }) {
    this.page = Object.fromEntries([...root.querySelectorAll("[id]")].map((element) => [element.id, element]));
    this.#driver = whip ? STREAM : CAMERA;
    document.body.dataset.driver = whip ? "whip" : "browser";
    this.settings = new Settings(options, controls, (changes) => this.#tell(changes));
    this.meters = new Meters(this.page);
    this.hints = new Hints(this.page.hint);
    this.tray = new Tray(this.page, portraits, (id) => this.#wear(id));
    this.views = new Views(root, this.page);
    this.outputs = new Outputs(this.page, (words, bad) => this.tray.say(words, bad));
    this.#performer = new Performer(this.page, iceServers, this.#scene());
    this.#listen();
    this.#askConsent();
    this.#rest();
    this.#show("idle", this.#driver.idle);
    listen(root, this.#keys());
    window.puppet = this;
    this.set(early.options);
    this.settings.shown().then(() => {
      this.presets = new Presets(presets, () => this.settings.changed(), (values) => this.settings.replace(values));
      this.presets.compare(this.settings.changed());
      early.carryOut(document.querySelector(".presets"));
    });
    early.carryOut(root);
  }

  /** Options as the server names them, at once and for every connection to come. */
  set(changes) {
    this.settings.set(changes);
  }

  get options() {
    return this.settings.options;
  }

  /** Of all controls, in their order: for Gradio. */
  values() {
    return this.settings.values();
  }

  calibrate() {
    if (this.page.calibrate.disabled || this.#counting) return;
    this.#counting = true;
    countDown(this.page.countdown, this.#performer.signal)
      .then((counted) => counted && this.#performer.send({ type: "calibrate" }))
      .finally(() => (this.#counting = false));
  }

  freeze() {
    this.#performer.send({ type: "freeze", on: this.page.freeze.getAttribute("aria-pressed") !== "true" });
  }

  /** What the performer asks, and tells. */
  #scene() {
    return {
      say: (state, words) => this.#show(state, words),
      complain: (words) => this.tray.say(words, true),
      hear: (message) => this.#hear(message),
      portrait: () => this.tray.chosen(),
      options: () => this.options,
      begin: (connection, onFrame) => {
        this.meters.start(connection, onFrame);
        this.outputs.start(connection);
      },
      end: () => {
        this.meters.stop();
        this.outputs.stop();
        this.hints.hear(null);
        this.page.freeze.setAttribute("aria-pressed", "false");
        this.#rest();
      },
    };
  }

  #listen() {
    const { start, stop, calibrate, freeze, demo } = this.page;
    start.onclick = () => this.#perform(this.#driver);
    demo.onclick = () => this.#perform(DEMO);
    stop.onclick = () => this.#performer.stop();
    calibrate.onclick = () => this.calibrate();
    freeze.onclick = () => this.freeze();
    addEventListener("pagehide", () => this.#performer.leave());
  }

  #keys() {
    return [
      ["c", "Calibrate", () => this.calibrate()],
      ["m", "Mirror", () => this.settings.toggle("mirror")],
      ["1-9", "Portrait", (key) => this.tray.pick(Number(key) - 1)],
      [" ", "Freeze, or follow again", () => this.freeze()],
      ["r", "Record", () => this.outputs.record()],
      ["v", "Next view", () => this.views.next()],
      ["h", "Hide the panel", () => this.views.toggle()],
      ["f", "Full screen", () => this.views.fullscreen()],
      ["?", "These keys", () => this.page.keys.togglePopover()],
    ];
  }

  #askConsent() {
    const { consent } = this.page;
    consent.hidden = recall("consent", false);
    consent.querySelector("button").onclick = () => {
      consent.hidden = true;
      remember("consent", true);
    };
  }

  async #perform({ open, opening }) {
    const trouble = await this.#performer.perform(open, opening);
    this.#show(trouble ? "error" : "idle", trouble?.message ?? this.#driver.idle);
  }

  #show(state, words) {
    const { status, start, stop, calibrate, freeze, demo } = this.page;
    if (status.textContent !== words) status.textContent = words;
    status.dataset.state = state;
    const { on, connection } = this.#performer;
    const focused = document.activeElement;
    [start.disabled, demo.disabled, stop.disabled, calibrate.disabled, freeze.disabled] = [on, on, !on, state !== "live", !connection];
    document.body.toggleAttribute("data-on", on);
    if (focused === start && on) stop.focus();
    if (focused === stop && !on) start.focus();
  }

  /** The portrait breathing by itself, or its own picture, instead of the stream's last one. */
  #rest(id = this.tray.id) {
    const { animated } = this.page;
    animated.poster = `portraits/${encodeURIComponent(id)}`;
    animated.srcObject = null;
    animated.src = `${animated.poster}/idle.mp4`;
  }

  #hear(message) {
    if (message.type === "stats") this.#see(message.stats);
    else if (message.type === "frames") this.meters.told(message);
    else if (message.type === "calibrated") this.tray.say(CALIBRATED);
    else if (message.type === "frozen") this.page.freeze.setAttribute("aria-pressed", String(message.on));
    else if (message.type === "error") this.tray.say(message.detail, true);
  }

  #see(stats) {
    this.meters.hear(stats);
    this.outputs.hear(stats);
    this.page.status.title = stats.warnings.join(" ");
    if (!(stats.state in WORDS) || !this.meters.painted) return;
    this.hints.hear(stats);
    this.#show(stats.state, WORDS[stats.state]);
  }

  #tell(changes) {
    this.page.camera.classList.toggle("mirrored", this.options.mirror);
    this.#performer.send({ type: "options", options: changes });
    this.presets?.compare(this.settings.changed());
  }

  /** Show a portrait: now where a session runs, else from the next one on. */
  async #wear(id) {
    const { connection } = this.#performer;
    if (connection) await connection.wear(id);
    else this.#rest(id);
  }
}

export const puppet = new Puppet(document.getElementById("live"), JSON.parse(document.getElementById("config").textContent));
