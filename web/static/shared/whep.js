// Watching a session by WHEP: pictures only, and only received.

const AGAIN = 1000; // milliseconds before the next try
const DEAD = ["failed", "closed", "disconnected"];

/** Join `session` at the server whose pages begin at `root`: {pc, stream, ended, close()}. Errors carry the `status`. */
export async function receive(root, session, headers = {}) {
  const pc = new RTCPeerConnection({ iceServers: [] });
  const { receiver } = pc.addTransceiver("video", { direction: "recvonly" });
  const ended = new Promise((resolve) => (pc.onconnectionstatechange = () => DEAD.includes(pc.connectionState) && resolve()));
  let place = null;
  const close = () => {
    removeEventListener("pagehide", close);
    pc.close();
    if (place) fetch(place, { method: "DELETE", keepalive: true, headers }).catch(() => {});
    place = null;
  };
  addEventListener("pagehide", close);
  try {
    await pc.setLocalDescription();
    const request = { method: "POST", headers: { ...headers, "Content-Type": "application/sdp" }, body: pc.localDescription.sdp };
    const response = await fetch(new URL(`whep/${session}`, root), request);
    if (!response.ok) throw await refusal(response);
    place = new URL(response.headers.get("Location").slice(1), root); // the server may lie below a prefix
    await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
  } catch (error) {
    close();
    throw error;
  }
  return { pc, stream: new MediaStream([receiver.track]), ended, close };
}

async function refusal(response) {
  const { detail } = await response.json().catch(() => ({}));
  return Object.assign(new Error(detail ?? `The server answers ${response.status}.`), { status: response.status });
}

/** Show `session` in `video`, for good: it comes back when the session does. */
export async function watch(root, session, video, headers) {
  for (;;) {
    const watched = await receive(root, session, headers).catch(() => null);
    if (watched) {
      video.srcObject = watched.stream;
      await watched.ended;
      watched.close();
      video.srcObject = null;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}
