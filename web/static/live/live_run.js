// A live run, from Start to Stop: one driver, and as many connections to the server as it takes.

import { Connection, ReconnectNeeded } from "./connection.js";
import { openMicrophone } from "./devices.js";
import { showNote } from "./hints.js";
import { page, pause } from "../shared/dom.js";
import { UserError } from "../shared/http.js";
import { WhipConnection } from "./whip_connection.js";

const CONNECTING = "Connecting …";
const RECONNECTING = "The connection was lost. Trying again …";
const RETRIES = 6; // with doubling pauses: about half a minute

export class LiveRun {
  #running = null; // AbortController from Start to Stop
  #microphone = null; // its track, while it is sent
  #iceServers;
  #host;
  connection = null; // once it is open

  /** `host` is the Puppet, which the run asks for the portrait and the options, and tells what happens. */
  constructor(iceServers, host) {
    this.#iceServers = iceServers;
    this.#host = host;
    page.audio.onchange = () => this.#updateMicrophone();
  }

  get on() {
    return this.#running !== null;
  }

  /** Aborts when the run stops. */
  get signal() {
    return this.#running.signal;
  }

  /** Run until `stop` or a failure. Resolves to null, or to the failure. */
  async run(openDriver, openingText) {
    const running = (this.#running = new AbortController());
    performance.clearMarks();
    this.#host.showStatus("connecting", openingText);
    let failure = null;
    try {
      await this.#drive(openDriver, running.signal);
    } catch (error) {
      if (!running.signal.aborted) failure = error;
    }
    this.#running = null;
    return failure;
  }

  stop() {
    this.#running?.abort();
  }

  /** Stop while the page is being left, when no answer can be awaited. */
  leave() {
    this.connection?.leave();
    this.stop();
  }

  async #drive(openDriver, signal) {
    const driver = await openDriver(signal);
    try {
      performance.mark("driver");
      page.camera.srcObject = driver.stream;
      this.#host.showStatus("connecting", CONNECTING);
      await this.#updateMicrophone();
      await this.#connectUntil(signal, driver);
    } finally {
      driver.close();
      this.#stopMicrophone();
      page.camera.srcObject = null;
    }
  }

  async #connectUntil(signal, driver) {
    let failures = 0;
    let lived = false;
    while (!signal.aborted) {
      try {
        await this.#connect(driver, signal, () => ([failures, lived] = [0, true]));
      } catch (error) {
        if (error instanceof ReconnectNeeded && !signal.aborted) continue;
        const hopeless = driver.gone() || !lived || ++failures > RETRIES;
        if (signal.aborted || hopeless) throw driver.gone() ?? error;
        this.#host.showStatus("connecting", RECONNECTING);
        await pause(500 * 2 ** (failures - 1), signal);
      }
    }
  }

  /** Hold one connection until it ends; throws UserError when it ends by itself. */
  async #connect(driver, signal, onFrame) {
    const onMessage = (message) => this.#host.onMessage(message);
    const connection = driver.stream
      ? new Connection(this.#iceServers, driver.stream, this.#microphone, onMessage)
      : new WhipConnection(onMessage);
    const stop = () => connection.end(new UserError("Stopped."));
    signal.addEventListener("abort", stop);
    driver.onGone(stop);
    try {
      const { options, portraitTray } = this.#host;
      const portrait = await portraitTray.chosen();
      page.animated.srcObject = await connection.open(portrait, () => options.values);
      this.connection = connection;
      this.#host.onConnected(connection, onFrame);
      const chosen = await portraitTray.chosen();
      if (chosen !== portrait) await connection.setPortrait(chosen); // it was changed meanwhile
      await connection.ended;
    } finally {
      signal.removeEventListener("abort", stop);
      this.connection = null;
      this.#host.onDisconnected();
      await connection.close();
    }
  }

  /** Open or close the microphone as its switch says, during a run. Where it cannot be had, the switch goes back. */
  async #updateMicrophone() {
    const { audio } = page;
    const running = this.#running;
    this.#stopMicrophone();
    if (running && audio.checked) {
      try {
        const track = await openMicrophone(running.signal);
        if (!audio.checked || running.signal.aborted || this.#microphone) track.stop();
        else this.#microphone = track;
      } catch (error) {
        if (running.signal.aborted) return;
        audio.checked = false;
        showNote(error.message, true);
      }
    }
    this.connection?.setMicrophone(this.#microphone);
  }

  #stopMicrophone() {
    this.#microphone?.stop();
    this.#microphone = null;
  }
}
