// From Start to Stop: a driver, and as many connections to the server as it takes.

import { Anew, Connection, Trouble } from "./connection.js";
import { openMicrophone } from "./microphone.js";
import { Watched } from "./whip_connection.js";

const OPENING = "Connecting …";
const AGAIN = "The connection was lost; trying again …";
const RETRIES = 6; // with doubling pauses: about half a minute

export class Performer {
  #run = null; // AbortController of the performance that is on
  #voice = null; // the microphone's track, while it is sent
  #page;
  #iceServers;
  #scene;
  connection = null; // once it is open

  /** `scene` is told what happens: say(state, words), begin(connection, onFrame), end(), hear(message), complain(words);
   *  and asked for portrait() and options(). */
  constructor(page, iceServers, scene) {
    this.#page = page;
    this.#iceServers = iceServers.map(({ url, username, credential }) => ({ urls: url, ...(username && { username, credential }) }));
    this.#scene = scene;
    page.audio.onchange = () => this.#switchVoice();
  }

  get on() {
    return this.#run !== null;
  }

  /** Aborts when it stops. */
  get signal() {
    return this.#run.signal;
  }

  /** Send a message, where there is a connection. */
  send(message) {
    this.connection?.send(message);
  }

  /** Resolves when it was stopped, by `stop` or by itself: to a Trouble, or to null. */
  async perform(openDriver, words) {
    const run = (this.#run = new AbortController());
    performance.clearMarks();
    this.#scene.say("connecting", words);
    let trouble = null;
    try {
      await this.#follow(openDriver, run.signal);
    } catch (error) {
      if (!run.signal.aborted) trouble = error;
    }
    this.#run = null;
    return trouble;
  }

  stop() {
    this.#run?.abort();
  }

  /** The page goes away: there is no time for answers. */
  leave() {
    this.connection?.leave();
    this.stop();
  }

  async #follow(openDriver, signal) {
    const driver = await openDriver(signal);
    try {
      performance.mark("driver");
      this.#page.camera.srcObject = driver.stream;
      this.#scene.say("connecting", OPENING);
      await this.#switchVoice();
      await this.#connectUntil(signal, driver);
    } finally {
      driver.close();
      this.#hush();
      this.#page.camera.srcObject = null;
    }
  }

  async #connectUntil(signal, driver) {
    let failures = 0;
    let lived = false;
    while (!signal.aborted) {
      try {
        await this.#converse(driver, signal, () => ([failures, lived] = [0, true]));
      } catch (error) {
        if (error instanceof Anew && !signal.aborted) continue;
        const hopeless = driver.gone() || !lived || ++failures > RETRIES;
        if (signal.aborted || hopeless) throw driver.gone() ?? error;
        this.#scene.say("connecting", AGAIN);
        await pause(500 * 2 ** (failures - 1), signal);
      }
    }
  }

  /** One connection; throws Trouble when it ends by itself. */
  async #converse(driver, signal, onFrame) {
    const hear = (message) => this.#scene.hear(message);
    const connection = driver.stream ? new Connection(this.#iceServers, driver.stream, this.#voice, hear) : new Watched(hear);
    const stop = () => connection.end(new Trouble("Stopped."));
    signal.addEventListener("abort", stop);
    driver.onGone(stop);
    try {
      const portrait = await this.#scene.portrait();
      this.#page.animated.srcObject = await connection.open(portrait, () => this.#scene.options());
      this.connection = connection;
      this.#scene.begin(connection, onFrame);
      const chosen = await this.#scene.portrait();
      if (chosen !== portrait) await connection.wear(chosen); // meanwhile
      await connection.ended;
    } finally {
      signal.removeEventListener("abort", stop);
      this.connection = null;
      this.#scene.end();
      await connection.close();
    }
  }

  /** The microphone as its switch says, while a performance is on; refused, the switch goes back. */
  async #switchVoice() {
    const { audio } = this.#page;
    const run = this.#run;
    this.#hush();
    if (run && audio.checked) {
      try {
        const voice = await openMicrophone(run.signal);
        if (!audio.checked || run.signal.aborted || this.#voice) voice.stop();
        else this.#voice = voice;
      } catch (error) {
        if (run.signal.aborted) return;
        audio.checked = false;
        this.#scene.complain(error.message);
      }
    }
    this.connection?.speak(this.#voice);
  }

  #hush() {
    this.#voice?.stop();
    this.#voice = null;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", resolve, { once: true });
  });
}
