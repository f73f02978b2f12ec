// Camera and microphone, and the other drivers: a stream, or a clip that the project made.
// A driver is {stream, close(), gone(), onGone(callback)}: `gone` returns the UserError that ended it, or null.

import { element, pause } from "../shared/dom.js";
import { ask, UserError } from "../shared/http.js";

const EXPOSURE_MS = 800; // that a camera takes to find its brightness
const UNPLUGGED = "The camera was disconnected. Plug it in, then press Start.";
const CAMERA_ERRORS = {
  ...errorsOf("camera", "press Start"),
  NotFoundError: "No camera was found. Plug one in and press Start, or try the demo driver.",
  AbortError: "The camera did not start. Unplug it and plug it in again, then press Start.",
};
const MICROPHONE_ERRORS = errorsOf("microphone", "switch the voice on again");
// This page plays no sound, so there is no echo to cancel, and cancelling would duck the voice whenever another program
// plays. Automatic gain would level out whispers and shouts. Suppressing steady noise, such as fans, does no harm.
const VOICE = { echoCancellation: false, autoGainControl: false, noiseSuppression: true, channelCount: { ideal: 1 } };

const STREAM = { stream: null, close: () => {}, gone: () => null, onGone: () => {} };

/** Return sentences by the name of the browser's error, and "insecure" and "other". */
function errorsOf(device, retry) {
  return {
    NotAllowedError: `The ${device} is blocked. Allow it in the browser’s address bar (site settings), then ${retry}.`,
    NotFoundError: `No ${device} was found. Plug one in, then ${retry}.`,
    NotReadableError: `The ${device} is in use by another program. Close that program, then ${retry}.`,
    insecure: `Browsers allow the ${device} on secure pages only. Open this page at http://127.0.0.1 on the server’s machine, or start the server with --ssl-certfile and --ssl-keyfile.`,
    other: `The ${device} cannot be used`,
  };
}

/** Open the camera. Rejects at once when `signal` aborts, even while the browser still asks the user. */
export async function openCamera(signal) {
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
  const stream = await openDevice({ video, audio: false }, signal, CAMERA_ERRORS);
  const [track] = stream.getVideoTracks();
  return {
    stream,
    close: () => track.stop(),
    gone: () => (track.readyState === "ended" ? new UserError(UNPLUGGED) : null),
    onGone: (callback) => (track.onended = callback),
  };
}

/** Open the microphone and return its audio track. Rejects when `signal` aborts; throws UserError where it cannot be had. */
export async function openMicrophone(signal) {
  return (await openDevice({ audio: VOICE }, signal, MICROPHONE_ERRORS)).getAudioTracks()[0];
}

async function openDevice(constraints, signal, errors) {
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
  return STREAM;
}

/** Play the demo clip through a canvas: not every browser can capture a video element. */
export async function openDemo(signal) {
  const clip = await (await ask("demo.mp4", { signal })).blob();
  const video = element("video", { muted: true, loop: true, playsInline: true, src: URL.createObjectURL(clip) });
  await video.play();
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  const context = canvas.getContext("2d", { alpha: false });
  const drawing = setInterval(() => context.drawImage(video, 0, 0), 1000 / 30);
  return {
    ...STREAM,
    stream: canvas.captureStream(30),
    close: () => {
      clearInterval(drawing);
      URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
    },
  };
}

/** Take a picture, as a file. `video` shows the camera during a run; otherwise the camera is opened for a moment. */
export async function snapshot(video) {
  if (video.srcObject) return still(video);
  const driver = await openCamera(new AbortController().signal);
  const preview = element("video", { muted: true, playsInline: true, srcObject: driver.stream });
  try {
    await preview.play();
    await pause(EXPOSURE_MS);
    return await still(preview);
  } finally {
    driver.close();
  }
}

async function still(video) {
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "snapshot.png", { type: "image/png" });
}
