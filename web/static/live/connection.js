// One session on the server: offer and answer, the control channel, and the check that media still arrives.

import { pause } from "../shared/dom.js";
import { askJson, json, offer, UserError } from "../shared/http.js";

const NO_MEDIA = "The server answers, but no video arrives. A firewall or VPN may block UDP to the server. Allow it, then press Start.";
const ENDED = "The server ended the session. Press Start to begin again.";
const PATIENCE_MS = 3000; // without a decoded frame
const FIRST_PATIENCE_MS = 8000; // before the first frame: finding a network path may take a while
const FRAME_BITS = 80_000; // of the driver's frames, on average, where their rate is limited

/** The connection must be made again: it was made without a microphone. */
export class ReconnectNeeded extends UserError {}

/** What all connections have: `url`, "session/ID", and `ended`, which rejects with the reason, as `end` is told. */
export class BaseConnection {
  constructor(url) {
    this.url = url;
    this.ended = new Promise((_, reject) => (this.end = reject));
    this.ended.catch(() => {}); // it may end before anyone waits
  }

  /** Make a request about the session; resolves to the JSON of the answer. */
  ask(path, request) {
    return askJson(`${this.url}/${path}`, request);
  }

  setPortrait(id) {
    return this.ask("portrait", json("PUT", { id }));
  }
}

export class Connection extends BaseConnection {
  #pc;
  #channel;
  #answered; // resolves once there is a session that can be sent candidates
  #onAnswered;
  #rate = null; // of the driver's frames, where it is limited
  #voice = null; // the sender of the driver's voice

  /** `onMessage` gets each message of the control channel, parsed; `microphone` is a track, or null. */
  constructor(iceServers, driver, microphone, onMessage) {
    super(null);
    this.#answered = new Promise((resolve) => (this.#onAnswered = resolve));
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#pc.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(this.#pc.connectionState)) this.end(new UserError(NO_MEDIA));
    };
    if (iceServers.length) this.#pc.onicecandidate = ({ candidate }) => this.#trickle(candidate);
    const transceiver = this.#pc.addTransceiver(driver.getVideoTracks()[0], { direction: "sendrecv", streams: [driver] });
    preferH264(transceiver);
    if (microphone) this.#voice = this.#pc.addTransceiver(microphone, { direction: "sendrecv", streams: [driver] }).sender;
    transceiver.receiver.track.onended = () => this.end(new UserError(ENDED));
    this.#channel = this.#pc.createDataChannel("control");
    this.#channel.onclose = () => this.end(new UserError(ENDED));
    this.#channel.onmessage = ({ data }) => onMessage(JSON.parse(data));
  }

  /** Offer at once, without candidates: the server learns ours from our first packets. Resolves to the stream. */
  async open(portrait, options) {
    this.#channel.onopen = () => this.send({ type: "options", options: options() });
    const query = new URLSearchParams({ portrait, ...(window.page && { page: window.page }) });
    const { path, accept } = await offer(this.#pc, `session?${query}`);
    this.url = path;
    this.#onAnswered();
    await accept();
    this.#watch();
    return new MediaStream(this.#pc.getReceivers().map(({ track }) => track));
  }

  send(message) {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  /** Send this track from now on; null: no voice. Ends with ReconnectNeeded where the connection was made without one. */
  setMicrophone(track) {
    if (this.#voice) this.#voice.replaceTrack(track);
    else if (track) this.end(new ReconnectNeeded("The voice needs a new connection."));
  }

  /** Read the counters of `countsOf`. */
  async counts() {
    return countsOf(await this.#pc.getStats());
  }

  /** Send at most `rate` of the driver's frames a second, each no larger than usual; null: all. */
  limitRate(rate) {
    if (rate === this.#rate) return;
    this.#rate = rate;
    const [sender] = this.#pc.getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) {
      delete encoding.maxFramerate;
      delete encoding.maxBitrate; // fewer frames must not become larger ones: each would take longer on its way
      if (rate !== null) Object.assign(encoding, { maxFramerate: rate, maxBitrate: rate * FRAME_BITS });
    }
    sender.setParameters(parameters).catch(() => {}); // the server then drops the surplus
  }

  async close() {
    this.#pc.close();
    if (this.url) await fetch(this.url, { method: "DELETE" }).catch(() => {});
  }

  /** Close while the page is being left, when no answer can be awaited. */
  leave() {
    if (this.url) navigator.sendBeacon(`${this.url}/close`);
    this.#pc.close();
  }

  async #watch() {
    let decoded = 0;
    let since = performance.now();
    while (this.#pc.connectionState !== "closed") {
      const counts = await this.counts();
      if (counts.decoded !== decoded || document.hidden) since = performance.now();
      if (performance.now() - since > (decoded ? PATIENCE_MS : FIRST_PATIENCE_MS)) this.end(new UserError(NO_MEDIA));
      decoded = counts.decoded;
      await pause(500);
    }
  }

  /** Send a candidate (RFC 8840); needed only where ICE servers offer other paths. */
  async #trickle(candidate) {
    if (!candidate) return;
    await this.#answered;
    await fetch(this.url, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag" },
      body: `a=ice-ufrag:${candidate.usernameFragment}\r\na=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n`,
    }).catch(() => {});
  }
}

/**
 * Pick from the browser's statistics what it has counted since the start. Video: {decoded, dropped, receivedBytes, encoded,
 * encodeSeconds, sentBytes}. Voice: {heldSeconds, heard} in its jitter buffer, {playedSeconds, played} on the way to the loudspeaker.
 */
export function countsOf(stats) {
  const reports = [...stats.values()];
  const video = (type) => reports.find((report) => report.type === type && report.kind === "video") ?? {};
  const [inbound, outbound] = [video("inbound-rtp"), video("outbound-rtp")];
  const voice = reports.find((report) => report.type === "inbound-rtp" && report.kind === "audio") ?? {};
  const playout = reports.find((report) => report.type === "media-playout") ?? {};
  return {
    heldSeconds: voice.jitterBufferDelay ?? 0,
    heard: voice.jitterBufferEmittedCount ?? 0,
    playedSeconds: playout.totalPlayoutDelay ?? 0,
    played: playout.totalSamplesCount ?? 0,
    decoded: inbound.framesDecoded ?? 0,
    dropped: inbound.framesDropped ?? 0,
    receivedBytes: inbound.bytesReceived ?? 0,
    encoded: outbound.framesEncoded ?? 0,
    encodeSeconds: outbound.totalEncodeTime ?? 0,
    sentBytes: outbound.bytesSent ?? 0,
  };
}

/** Put H264 first: the server encodes it at a third of VP8's cost. */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const rank = ({ mimeType, sdpFmtpLine = "" }) =>
    mimeType === "video/H264" && sdpFmtpLine.includes("packetization-mode=1") ? 0 : 1;
  transceiver.setCodecPreferences?.([...codecs].sort((a, b) => rank(a) - rank(b)));
}
