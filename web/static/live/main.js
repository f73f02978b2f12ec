// The Live tab: ties the elements of the page to the live run, the portraits, the options and the meters.

import { openCamera, openDemo, openStream } from "./devices.js";
import { countDown, Hints, showNote } from "./hints.js";
import { listenToKeys } from "./hotkeys.js";
import { Layout } from "./layout.js";
import { LiveRun } from "./live_run.js";
import { Meters } from "./meters.js";
import { Options } from "./options.js";
import { Outputs } from "./outputs.js";
import { PortraitTray } from "./portrait_tray.js";
import { Presets } from "./presets.js";
import { page } from "../shared/dom.js";
import { recall, remember } from "../shared/storage.js";

const STATUS = {
  connecting: "Looking for your face: look at the camera.",
  live: "Live: the portrait follows you.",
  lost: "Your face is out of view: come back to the middle of the picture.",
  error: "The server fails to draw the portrait. Its console says why.",
};
const CALIBRATED = "Your face as it is now is the new neutral.";
const CAMERA = { open: openCamera, idle: "Press Start: your camera’s picture moves the portrait.", opening: "Allow the camera if your browser asks." };
const STREAM = { open: openStream, idle: "Press Start to see the portrait that the stream moves.", opening: "Connecting …" };
const DEMO = { open: openDemo, opening: "Preparing the demo driver. The first time takes some seconds." };

class Puppet {
  #driver; // what Start opens
  #run;
  #counting = false;

  constructor({ portraits, options, iceServers, controls, presets, hints, whip }) {
    this.#driver = whip ? STREAM : CAMERA;
    document.body.dataset.driver = whip ? "whip" : "browser";
    this.options = new Options(options, controls, (changes) => this.#sendOptions(changes));
    this.meters = new Meters();
    this.hints = new Hints(hints);
    this.portraitTray = new PortraitTray(portraits, (id) => this.#setPortrait(id));
    this.layout = new Layout();
    this.outputs = new Outputs();
    this.#run = new LiveRun(iceServers, this);
    this.#listen();
    this.#askConsent();
    this.#rest();
    this.showStatus("idle", this.#driver.idle);
    listenToKeys(this.#keys());
    window.puppet = this;
    this.options.set(early.options);
    this.options.connectControls().then(() => {
      this.presets = new Presets(presets, this.options);
      early.carryOut(document.querySelector(".presets"));
    });
    early.carryOut(page.live);
  }

  calibrate() {
    if (page.calibrate.disabled || this.#counting) return;
    this.#counting = true;
    countDown(this.#run.signal)
      .then((counted) => counted && this.#run.connection?.send({ type: "calibrate" }))
      .finally(() => (this.#counting = false));
  }

  freeze() {
    this.#run.connection?.send({ type: "freeze", on: page.freeze.ariaPressed !== "true" });
  }

  onConnected(connection, onFrame) {
    this.meters.start(connection, onFrame);
    this.outputs.start(connection);
  }

  onDisconnected() {
    this.meters.stop();
    this.outputs.stop();
    this.hints.clear();
    page.freeze.ariaPressed = false;
    this.#rest();
  }

  #listen() {
    page.start.onclick = () => this.#start(this.#driver);
    page.demo.onclick = () => this.#start(DEMO);
    page.stop.onclick = () => this.#run.stop();
    page.calibrate.onclick = () => this.calibrate();
    page.freeze.onclick = () => this.freeze();
    addEventListener("pagehide", () => this.#run.leave());
  }

  #keys() {
    return [
      ["c", "Calibrate", () => this.calibrate()],
      ["m", "Mirror", () => this.options.toggle("mirror")],
      ["1-9", "Portrait", (key) => this.portraitTray.pick(Number(key) - 1)],
      [" ", "Freeze, or follow again", () => this.freeze()],
      ["r", "Record", () => this.outputs.record()],
      ["v", "Next view", () => this.layout.next()],
      ["h", "Hide the panel", () => this.layout.toggle()],
      ["f", "Full screen", () => this.layout.fullscreen()],
      ["?", "These keys", () => page.keys.togglePopover()],
    ];
  }

  #askConsent() {
    const { consent } = page;
    consent.hidden = recall("consent", false);
    consent.querySelector("button").onclick = () => {
      consent.hidden = true;
      remember("consent", true);
    };
  }

  async #start({ open, opening }) {
    const failure = await this.#run.run(open, opening);
    this.showStatus(failure ? "error" : "idle", failure?.message ?? this.#driver.idle);
  }

  showStatus(state, text) {
    const { status, start, stop, calibrate, freeze, demo } = page;
    if (status.textContent !== text) status.textContent = text;
    status.dataset.state = state;
    const { on, connection } = this.#run;
    const focused = document.activeElement;
    [start.disabled, demo.disabled, stop.disabled, calibrate.disabled, freeze.disabled] = [on, on, !on, state !== "live", !connection];
    document.body.toggleAttribute("data-on", on);
    if (focused === start && on) stop.focus();
    if (focused === stop && !on) start.focus();
  }

  /** Show the portrait at rest, breathing, or its still picture, in place of the stream's last frame. */
  #rest(id = this.portraitTray.id) {
    const { animated } = page;
    animated.poster = `portraits/${encodeURIComponent(id)}`;
    animated.srcObject = null;
    animated.src = `${animated.poster}/idle.mp4`;
  }

  onMessage(message) {
    if (message.type === "stats") this.#onStats(message.stats);
    else if (message.type === "frames") this.meters.onFrames(message);
    else if (message.type === "calibrated") showNote(CALIBRATED);
    else if (message.type === "frozen") page.freeze.ariaPressed = message.on;
    else if (message.type === "error") showNote(message.detail, true);
  }

  #onStats(stats) {
    this.meters.onStats(stats);
    this.outputs.onStats(stats);
    page.status.title = stats.warnings.join(" ");
    if (!(stats.state in STATUS) || !this.meters.painted) return;
    this.hints.onStats(stats);
    this.showStatus(stats.state, STATUS[stats.state]);
  }

  #sendOptions(changes) {
    page.camera.classList.toggle("mirrored", this.options.values.mirror);
    this.#run.connection?.send({ type: "options", options: changes });
    this.presets?.compare();
  }

  /** Show a portrait: at once where a session runs, else from the next one on. */
  async #setPortrait(id) {
    const { connection } = this.#run;
    if (connection) await connection.setPortrait(id);
    else this.#rest(id);
  }
}

export const puppet = new Puppet(JSON.parse(page.config.textContent));
