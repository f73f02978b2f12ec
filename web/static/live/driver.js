// Who drives: the camera, or a clip made by the project. {stream, close(), gone(), onGone(callback)}

import { ask, Trouble } from "./connection.js";

const TROUBLE = {
  NotAllowedError: "The camera is blocked. Allow it in the browser’s address bar (site settings), then press Start.",
  NotFoundError: "No camera was found. Plug one in and press Start, or try the demo driver.",
  NotReadableError: "The camera is in use by another program. Close that program, then press Start.",
  AbortError: "The camera did not start. Unplug it and plug it in again, then press Start.",
};
const INSECURE =
  "Browsers give the camera to secure pages only. Open this page at http://127.0.0.1 on the server’s machine, or serve it with --ssl-certfile and --ssl-keyfile.";
const UNPLUGGED = "The camera was disconnected. Plug it in, then press Start.";

/** Rejects at once when `signal` aborts, even while the browser still asks the user. */
export async function openCamera(signal) {
  if (!navigator.mediaDevices) throw new Trouble(INSECURE);
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
  const opening = navigator.mediaDevices.getUserMedia({ video, audio: false });
  const aborted = new Promise((_, reject) => (signal.onabort = reject));
  const stream = await Promise.race([opening, aborted]).catch((error) => {
    opening.then((late) => late.getTracks().forEach((track) => track.stop()), () => {});
    throw new Trouble(TROUBLE[error.name] ?? `The camera cannot be used: ${error.message}.`);
  });
  const [track] = stream.getVideoTracks();
  return {
    stream,
    close: () => track.stop(),
    gone: () => (track.readyState === "ended" ? new Trouble(UNPLUGGED) : null),
    onGone: (callback) => (track.onended = callback),
  };
}

/** Somebody else drives: a stream that the server gets by WHIP. */
export async function openStream() {
  return { stream: null, close: () => {}, gone: () => null, onGone: () => {} };
}

/** The clip goes through a canvas: not every browser can capture a video element. */
export async function openDemo(signal) {
  const clip = await (await ask("demo.mp4", { signal })).blob();
  const video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true });
  video.src = URL.createObjectURL(clip);
  await video.play();
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  const context = canvas.getContext("2d", { alpha: false });
  const drawing = setInterval(() => context.drawImage(video, 0, 0), 1000 / 30);
  return {
    stream: canvas.captureStream(30),
    close: () => {
      clearInterval(drawing);
      URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
    },
    gone: () => null,
    onGone: () => {},
  };
}
