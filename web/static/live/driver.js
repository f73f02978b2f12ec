// Drivers: the camera, a stream, or a clip that the project made. Each is {stream, close(), gone(), onGone(callback)}:
// `gone` returns the UserError that ended the driver, or null.

import { ask, UserError } from "../shared/http.js";

const ERRORS = {
  NotAllowedError: "The camera is blocked. Allow it in the browser’s address bar (site settings), then press Start.",
  NotFoundError: "No camera was found. Plug one in and press Start, or try the demo driver.",
  NotReadableError: "The camera is in use by another program. Close that program, then press Start.",
  AbortError: "The camera did not start. Unplug it and plug it in again, then press Start.",
  insecure:
    "Browsers allow the camera on secure pages only. Open this page at http://127.0.0.1 on the server’s machine, or start the server with --ssl-certfile and --ssl-keyfile.",
  other: "The camera cannot be used",
};
const UNPLUGGED = "The camera was disconnected. Plug it in, then press Start.";

/** Open the camera. Rejects at once when `signal` aborts, even while the browser still asks the user. */
export async function openCamera(signal) {
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
  const stream = await openDevice({ video, audio: false }, signal, ERRORS);
  const [track] = stream.getVideoTracks();
  return {
    stream,
    close: () => track.stop(),
    gone: () => (track.readyState === "ended" ? new UserError(UNPLUGGED) : null),
    onGone: (callback) => (track.onended = callback),
  };
}

/** Ask the browser for a device. `errors` are sentences by the name of the browser's error, and "insecure" and "other". */
export async function openDevice(constraints, signal, errors) {
  if (!navigator.mediaDevices) throw new UserError(errors.insecure);
  const opening = navigator.mediaDevices.getUserMedia(constraints);
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", reject, { once: true }));
  return Promise.race([opening, aborted]).catch((error) => {
    opening.then((late) => late.getTracks().forEach((track) => track.stop()), () => {});
    throw new UserError(errors[error.name] ?? `${errors.other}: ${error.message}.`);
  });
}

/** Let a stream drive that the server receives by WHIP. */
export async function openStream() {
  return { stream: null, close: () => {}, gone: () => null, onGone: () => {} };
}

/** Play the demo clip through a canvas: not every browser can capture a video element. */
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
