// One session on the server: offer and answer, the control channel, and knowing when it is dead.

const NO_ANSWER = "The server does not answer. Start it again (python run.py), then press Start.";
const NO_MEDIA = "The server answers, but no media arrives. A firewall or VPN may block UDP to it; allow it, then press Start.";
const ENDED = "The server ended the session. Press Start to begin again.";
const PATIENCE = 3000; // milliseconds without a decoded frame
const FIRST_PATIENCE = 8000; // before the first: finding a path may take a while

/** A failure in words for the user. */
export class Trouble extends Error {}

export class Connection {
  #end;
  #pc;
  #channel;
  #url = null;
  #answered; // resolves once there is a session to tell candidates to
  #onAnswered;

  /** `onMessage` gets what the control channel brings, parsed. */
  constructor(iceServers, driver, onMessage) {
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
    this.stream = new MediaStream([transceiver.receiver.track]);
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

  /** Change the portrait of the running session. */
  async wear(id) {
    await ask(`${this.#url}/portrait`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id }),
    });
  }

  /** What the browser counted since the start: {decoded, encoded, encodeSeconds}. */
  async counts() {
    const counts = { decoded: 0, encoded: 0, encodeSeconds: 0 };
    for (const report of (await this.#pc.getStats()).values()) {
      if (report.type === "inbound-rtp") counts.decoded = report.framesDecoded ?? 0;
      if (report.type !== "outbound-rtp") continue;
      counts.encoded = report.framesEncoded ?? 0;
      counts.encodeSeconds = report.totalEncodeTime ?? 0;
    }
    return counts;
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
