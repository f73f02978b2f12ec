// One session on the server: offer and answer, the control channel, and knowing when it is dead.

const NO_ANSWER = "The server does not answer. Start it again (python run.py), then press Start.";
const NO_MEDIA = "The server answers, but no media arrives. A firewall or VPN may block UDP to it; allow it, then press Start.";
const ENDED = "The server ended the session. Press Start to begin again.";
const PATIENCE = 3000; // milliseconds without a decoded frame
const PICTURE_BITS = 80_000; // of the driver's, on average, where their rate is limited
const FIRST_PATIENCE = 8000; // before the first: finding a path may take a while

/** A failure in words for the user. */
export class Trouble extends Error {}

/** The connection must be made anew: it was begun for pictures only. */
export class Anew extends Trouble {}

export class Connection {
  #end;
  #pc;
  #channel;
  #url = null;
  #answered; // resolves once there is a session to tell candidates to
  #onAnswered;
  #rate = null; // of the driver's pictures, where it is limited
  #voice = null; // what sends the driver's voice, where there is one

  /** `onMessage` gets what the control channel brings, parsed; `voice` is the microphone's track, or null. */
  constructor(iceServers, driver, voice, onMessage) {
    this.ended = new Promise((_, reject) => (this.#end = reject));
    this.ended.catch(() => {}); // it may end before anyone waits
    this.#answered = new Promise((resolve) => (this.#onAnswered = resolve));
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#pc.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(this.#pc.connectionState)) this.end(new Trouble(NO_MEDIA));
    };
    if (iceServers.length) this.#pc.onicecandidate = ({ candidate }) => this.#trickle(candidate);
    const transceiver = this.#pc.addTransceiver(driver.getVideoTracks()[0], { direction: "sendrecv", streams: [driver] });
    preferH264(transceiver);
    if (voice) this.#voice = this.#pc.addTransceiver(voice, { direction: "sendrecv", streams: [driver] }).sender;
    this.stream = new MediaStream(this.#pc.getReceivers().map(({ track }) => track));
    transceiver.receiver.track.onended = () => this.end(new Trouble(ENDED));
    this.#channel = this.#pc.createDataChannel("control");
    this.#channel.onclose = () => this.end(new Trouble(ENDED));
    this.#channel.onmessage = ({ data }) => onMessage(JSON.parse(data));
  }

  /** Offers at once, without waiting for candidates: the server learns ours from our first packets. Resolves to the stream. */
  async open(portrait, options) {
    this.#channel.onopen = () => this.send({ type: "options", options: options() });
    await this.#pc.setLocalDescription();
    const response = await ask(`session?${new URLSearchParams({ portrait, ...(window.page && { page: window.page }) })}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#pc.localDescription.sdp,
    });
    this.#url = response.headers.get("Location").slice(1); // relative: the server may lie below a prefix
    this.#onAnswered();
    await this.#pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
    this.#watch();
    return this.stream;
  }

  send(message) {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  /** Send this voice from now on; null: none. Ends with Anew where the connection was begun without one. */
  speak(voice) {
    if (this.#voice) this.#voice.replaceTrack(voice);
    else if (voice) this.end(new Anew("The voice needs a new connection."));
  }

  /** Change the portrait of the running session. */
  async wear(id) {
    await this.ask("portrait", {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id }),
    });
  }

  /** Something else of the running session, as `ask`. */
  ask(path, request) {
    return ask(`${this.#url}/${path}`, request);
  }

  /** Of the session, once it is open: "session/ID". */
  get url() {
    return this.#url;
  }

  /** As `countsOf`, now. */
  async counts() {
    return countsOf(await this.#pc.getStats());
  }

  /** Send at most `rate` of the driver's pictures a second, no larger than usual; null: all. */
  limit(rate) {
    if (rate === this.#rate) return;
    this.#rate = rate;
    const [sender] = this.#pc.getSenders();
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings) {
      delete encoding.maxFramerate;
      delete encoding.maxBitrate; // fewer pictures may not grow to fill it: each would be longer on its way
      if (rate !== null) Object.assign(encoding, { maxFramerate: rate, maxBitrate: rate * PICTURE_BITS });
    }
    sender.setParameters(parameters).catch(() => {}); // then the server drops what is too much
  }

  end(trouble) {
    this.#end(trouble);
  }

  async close() {
    this.#pc.close();
    if (this.#url) await fetch(this.#url, { method: "DELETE" }).catch(() => {});
  }

  /** The page goes away: there is no time for answers. */
  leave() {
    if (this.#url) navigator.sendBeacon(`${this.#url}/close`);
    this.#pc.close();
  }

  async #watch() {
    let decoded = 0;
    let since = performance.now();
    while (this.#pc.connectionState !== "closed") {
      const counts = await this.counts();
      if (counts.decoded !== decoded || document.hidden) since = performance.now();
      if (performance.now() - since > (decoded ? PATIENCE : FIRST_PATIENCE)) this.end(new Trouble(NO_MEDIA));
      decoded = counts.decoded;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** RFC 8840; only where ICE servers make a detour possible. */
  async #trickle(candidate) {
    if (!candidate) return;
    await this.#answered;
    await fetch(this.#url, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag" },
      body: `a=ice-ufrag:${candidate.usernameFragment}\r\na=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n`,
    }).catch(() => {});
  }
}

/**
 * What the browser counted since the start. Of the pictures: {decoded, dropped, receivedBytes, encoded, encodeSeconds,
 * sentBytes}. Of the voice: {heldSeconds, heard} in its buffer, {playedSeconds, played} on the way to the loudspeaker.
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

/** fetch, or Trouble with the server's own sentence. */
export async function ask(url, request) {
  const response = await fetch(url, request).catch(() => {
    throw new Trouble(NO_ANSWER);
  });
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({}));
  throw Object.assign(new Trouble(detail ?? `The server answers ${response.status}.`), { status: response.status });
}

/** The server encodes H264 at a third of VP8's cost. */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const rank = ({ mimeType, sdpFmtpLine = "" }) =>
    mimeType === "video/H264" && sdpFmtpLine.includes("packetization-mode=1") ? 0 : 1;
  transceiver.setCodecPreferences?.([...codecs].sort((a, b) => rank(a) - rank(b)));
}
