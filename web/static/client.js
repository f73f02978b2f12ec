// The page: one Puppet ties the elements to a driver, a connection, the portraits and the meters.

import { Connection, Trouble } from "./connection.js";
import { openCamera, openDemo } from "./driver.js";
import { Meters } from "./meters.js";
import { Tray } from "./tray.js";

const WORDS = {
  idle: "Press Start: your camera’s picture moves the portrait.",
  camera: "Allow the camera if your browser asks.",
  demo: "Preparing the demo driver; the first time takes some seconds.",
  opening: "Connecting …",
  again: "The connection was lost; trying again …",
  connecting: "Looking for your face: look at the camera.",
  live: "Live: the portrait follows you.",
  lost: "Your face is out of view: come back to the middle of the picture.",
  error: "The server fails to draw the pictures, so the portrait rests; its console says why.",
  calibrated: "Your face as it is now is the new neutral.",
};
const IDS = ["status", "camera", "animated", "start", "stop", "calibrate", "demo", "fps", "latency", "overlay", "figures", "tray", "upload", "note"];
const RETRIES = 6; // with doubling pauses: about half a minute

export function start(root, config) {
  window.puppet = new Puppet(root, structuredClone({ ...config }));
}

class Puppet {
  #run = null; // AbortController of the performance that is on
  #connection = null;

  constructor(root, { portraits, options, iceServers }) {
    this.page = Object.fromEntries(IDS.map((id) => [id, root.querySelector(`#${id}`)]));
    this.options = options;
    this.iceServers = iceServers.map((urls) => ({ urls }));
    this.meters = new Meters(this.page);
    this.tray = new Tray(this.page, portraits, (id) => this.#wear(id));
    this.#listen();
    this.#show("idle", WORDS.idle);
  }

  /** Options as the server names them, at once and for every connection to come. */
  set(changes) {
    Object.assign(this.options, changes);
    this.page.camera.classList.toggle("mirrored", this.options.mirror);
    this.#connection?.send({ type: "options", options: changes });
  }

  #listen() {
    const { start, stop, calibrate, demo } = this.page;
    start.onclick = () => this.#perform(openCamera, WORDS.camera);
    demo.onclick = () => this.#perform(openDemo, WORDS.demo);
    stop.onclick = () => this.#run?.abort();
    calibrate.onclick = () => this.#connection?.send({ type: "calibrate" });
    addEventListener("pagehide", () => {
      this.#connection?.leave();
      this.#run?.abort();
    });
  }

  #show(state, words) {
    const { status, start, stop, calibrate, demo } = this.page;
    if (status.textContent !== words) status.textContent = words;
    status.dataset.state = state;
    const on = this.#run !== null;
    const focused = document.activeElement;
    [start.disabled, demo.disabled, stop.disabled, calibrate.disabled] = [on, on, !on, state !== "live"];
    if (focused === start && on) stop.focus();
    if (focused === stop && !on) start.focus();
  }

  /** From Start to Stop, through as many connections as it takes. */
  async #perform(openDriver, words) {
    const run = (this.#run = new AbortController());
    performance.clearMarks();
    this.#show("connecting", words);
    let end = ["idle", WORDS.idle];
    try {
      await this.#follow(openDriver, run.signal);
    } catch (error) {
      if (!run.signal.aborted) end = ["error", error.message];
    }
    this.#run = null;
    this.#show(...end);
  }

  async #follow(openDriver, signal) {
    const driver = await openDriver(signal);
    try {
      performance.mark("driver");
      this.page.camera.srcObject = driver.stream;
      this.#show("connecting", WORDS.opening);
      await this.#connectUntil(signal, driver);
    } finally {
      driver.close();
      this.page.camera.srcObject = null;
    }
  }

  async #connectUntil(signal, driver) {
    let failures = 0;
    let lived = false;
    while (!signal.aborted) {
      try {
        await this.#converse(driver, signal, () => ([failures, lived] = [0, true]));
      } catch (error) {
        const hopeless = driver.gone() || !lived || ++failures > RETRIES;
        if (signal.aborted || hopeless) throw driver.gone() ?? error;
        this.#show("connecting", WORDS.again);
        await pause(500 * 2 ** (failures - 1), signal);
      }
    }
  }

  /** One connection; throws Trouble when it ends by itself. */
  async #converse(driver, signal, onFrame) {
    const connection = new Connection(this.iceServers, driver.stream, (message) => this.#hear(message));
    const stop = () => connection.end(new Trouble("Stopped."));
    signal.addEventListener("abort", stop);
    driver.onGone(stop);
    try {
      const portrait = await this.tray.chosen();
      this.page.animated.srcObject = await connection.open(portrait, () => this.options);
      this.#connection = connection;
      this.meters.start(connection, onFrame);
      if (this.tray.id !== portrait) await connection.wear(this.tray.id); // chosen meanwhile
      await connection.ended;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#connection = null;
      this.meters.stop();
      this.#rest();
      await connection.close();
    }
  }

  /** The portrait's own picture instead of the stream's last one. */
  #rest() {
    this.page.animated.srcObject = null;
    this.page.animated.load();
  }

  #hear(message) {
    if (message.type === "stats") {
      this.meters.hear(message.stats);
      this.page.status.title = message.stats.warnings.join(" ");
      const state = message.stats.state;
      if (state in WORDS && this.meters.painted) this.#show(state, WORDS[state]);
    } else if (message.type === "frames") {
      this.meters.told(message);
    } else if (message.type === "calibrated") {
      this.tray.say(WORDS.calibrated);
    } else if (message.type === "error") {
      this.tray.say(message.detail, true);
    }
  }

  /** Show a portrait: now where a session runs, else from the next one on. */
  async #wear(id) {
    this.page.animated.poster = `portraits/${encodeURIComponent(id)}`;
    await this.#connection?.wear(id);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", resolve, { once: true });
  });
}
