// Watches a session by WHEP: pictures only, and only received.

import { pause } from "./dom.js";
import { offer } from "./http.js";

const RETRY_MS = 1000;
const DEAD = ["failed", "closed", "disconnected"];

/**
 * Watch `session` of the server whose pages begin at `root`: {pc, stream, ended, close()}.
 * Throws UserError where the server refuses.
 */
export async function receive(root, session, headers = {}) {
  const pc = new RTCPeerConnection({ iceServers: [] });
  const { receiver } = pc.addTransceiver("video", { direction: "recvonly" });
  const ended = new Promise((resolve) => (pc.onconnectionstatechange = () => DEAD.includes(pc.connectionState) && resolve()));
  let resource = null;
  const close = () => {
    removeEventListener("pagehide", close);
    pc.close();
    if (resource) fetch(resource, { method: "DELETE", keepalive: true, headers }).catch(() => {});
    resource = null;
  };
  addEventListener("pagehide", close);
  try {
    const { path, accept } = await offer(pc, new URL(`whep/${session}`, root), headers);
    resource = new URL(path, root);
    await accept();
  } catch (error) {
    close();
    throw error;
  }
  return { pc, stream: new MediaStream([receiver.track]), ended, close };
}

/** Show `session` in `video` for good: it comes back when the session does. */
export async function watch(root, session, video, headers) {
  for (;;) {
    const watched = await receive(root, session, headers).catch(() => null);
    if (watched) {
      video.srcObject = watched.stream;
      await watched.ended;
      watched.close();
      video.srcObject = null;
    }
    await pause(RETRY_MS);
  }
}
