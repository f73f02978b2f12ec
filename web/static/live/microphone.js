// The performer's voice. The microphone is asked for only when its switch is on, and let go with it.

import { Trouble } from "./connection.js";

const TROUBLE = {
  NotAllowedError: "The microphone is blocked. Allow it in the browser’s address bar (site settings), then switch the voice on again.",
  NotFoundError: "No microphone was found. Plug one in, then switch the voice on again.",
  NotReadableError: "The microphone is in use by another program. Close that program, then switch the voice on again.",
};
const INSECURE =
  "Browsers give the microphone to secure pages only. Open this page at http://127.0.0.1 on the server’s machine, or serve it with --ssl-certfile and --ssl-keyfile.";
// The page plays nothing aloud, so there is no echo to cancel: cancelling would duck the voice whenever other sounds
// play. Gain that adjusts itself pumps with a performer's whispers and shouts. Steady noise, as of fans, is taken out.
const AS_SPOKEN = { echoCancellation: false, autoGainControl: false, noiseSuppression: true, channelCount: { ideal: 1 } };

/** Its audio track; `stop()` lets the microphone go. Rejects when `signal` aborts; Trouble where there is none. */
export async function openMicrophone(signal) {
  if (!navigator.mediaDevices) throw new Trouble(INSECURE);
  const opening = navigator.mediaDevices.getUserMedia({ audio: AS_SPOKEN });
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", reject, { once: true }));
  const stream = await Promise.race([opening, aborted]).catch((error) => {
    opening.then((late) => late.getTracks().forEach((track) => track.stop()), () => {});
    throw new Trouble(TROUBLE[error.name] ?? `The microphone cannot be used: ${error.message}.`);
  });
  return stream.getAudioTracks()[0];
}
