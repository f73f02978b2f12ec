// A session that a stream drives (WHIP), watched by WHEP and controlled over HTTP. It has the methods of Connection.

import { BaseConnection, countsOf } from "./connection.js";
import { json, UserError } from "../shared/http.js";
import { receive } from "../shared/whep.js";

const NO_STREAM = "No stream has arrived yet. In OBS open Settings, Stream, choose WHIP and enter this server’s address with /whip at its end. Start streaming, then press Start.";
const ENDED = "The stream ended. Start it again, then press Start.";

export class WhipConnection extends BaseConnection {
  #onMessage;
  #viewer = null;

  constructor(onMessage) {
    super("session/whip"); // the newest session that a stream drives
    this.#onMessage = onMessage;
  }

  async open(portrait, options) {
    this.#viewer = await receive(document.baseURI, "whip").catch((error) => {
      throw [404, 409].includes(error.status) ? new UserError(NO_STREAM) : error;
    });
    this.#viewer.ended.then(() => this.end(new UserError(ENDED)));
    this.send({ type: "options", options: options() });
    await this.setPortrait(portrait);
    return this.#viewer.stream;
  }

  /** Send over HTTP what Connection sends over its data channel. */
  async send(message) {
    try {
      if (message.type === "options") await this.ask("options", json("PATCH", message.options));
      if (message.type === "calibrate") await this.ask("calibrate", { method: "POST" });
      if (message.type === "freeze") await this.ask("freeze", json("PUT", { on: message.on }));
      if (message.type === "stats") this.#onMessage({ type: "stats", stats: await this.ask("stats") });
      if (message.type === "calibrate") this.#onMessage({ type: "calibrated" });
      if (message.type === "freeze") this.#onMessage({ type: "frozen", on: message.on });
    } catch (error) {
      if (error.status === 404) this.end(new UserError(ENDED));
      else this.#onMessage({ type: "error", detail: error.message });
    }
  }

  async counts() {
    return countsOf(await this.#viewer.pc.getStats());
  }

  limitRate() {} // the sender of the stream decides on its rate
  setMicrophone() {} // and on its sound

  close() {
    this.#onMessage = () => {}; // nobody waits for answers that are still on their way
    this.#viewer?.close();
  }

  leave() {
    this.close();
  }
}
