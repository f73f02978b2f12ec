// A session that a stream drives (WHIP): watched by WHEP, controlled over HTTP. To main.js it is as a Connection.

import { ask, countsOf, Trouble } from "./connection.js";
import { receive } from "../shared/whep.js";

const NOBODY = "No stream comes yet. In OBS choose WHIP under Settings, Stream, with this server’s address and /whip at its end; then press Start.";
const ENDED = "The stream ended. Start it again, then press Start.";

export class Watched {
  #end;
  #onMessage;
  #viewer = null;
  url = "session/whip"; // the newest that a stream drives

  constructor(onMessage) {
    this.#onMessage = onMessage;
    this.ended = new Promise((_, reject) => (this.#end = reject));
    this.ended.catch(() => {}); // it may end before anyone waits
  }

  async open(portrait, options) {
    this.#viewer = await receive(document.baseURI, "whip").catch((error) => {
      throw new Trouble([404, 409].includes(error.status) ? NOBODY : error.message);
    });
    this.#viewer.ended.then(() => this.end(new Trouble(ENDED)));
    this.send({ type: "options", options: options() });
    await this.wear(portrait);
    return this.#viewer.stream;
  }

  /** What goes over the data channel elsewhere. */
  async send(message) {
    try {
      if (message.type === "options") await this.#put("PATCH", "options", message.options);
      if (message.type === "calibrate") await this.ask("calibrate", { method: "POST" });
      if (message.type === "freeze") await this.#put("PUT", "freeze", { on: message.on });
      if (message.type === "stats") this.#onMessage({ type: "stats", stats: await (await this.ask("stats")).json() });
      if (message.type === "calibrate") this.#onMessage({ type: "calibrated" });
      if (message.type === "freeze") this.#onMessage({ type: "frozen", on: message.on });
    } catch (error) {
      if (error.status === 404) this.end(new Trouble(ENDED));
      else this.#onMessage({ type: "error", detail: error.message });
    }
  }

  wear(id) {
    return this.#put("PUT", "portrait", { id });
  }

  ask(path, request) {
    return ask(`${this.url}/${path}`, request);
  }

  async counts() {
    return countsOf(await this.#viewer.pc.getStats());
  }

  limit() {} // the stream's rate is its sender's
  speak() {} // and so is its sound

  end(trouble) {
    this.#end(trouble);
  }

  close() {
    this.#onMessage = () => {}; // answers that are still on their way are nobody's
    this.#viewer?.close();
  }

  leave() {
    this.close();
  }

  #put(method, path, content) {
    return this.ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  }
}
