// The driver's voice. The microphone is opened only while its switch is on.

import { openDevice } from "./driver.js";

const ERRORS = {
  NotAllowedError: "The microphone is blocked. Allow it in the browser’s address bar (site settings), then switch the voice on again.",
  NotFoundError: "No microphone was found. Plug one in, then switch the voice on again.",
  NotReadableError: "The microphone is in use by another program. Close that program, then switch the voice on again.",
  insecure:
    "Browsers allow the microphone on secure pages only. Open this page at http://127.0.0.1 on the server’s machine, or start the server with --ssl-certfile and --ssl-keyfile.",
  other: "The microphone cannot be used",
};
// This page plays no sound, so there is no echo to cancel, and cancelling would duck the voice whenever another program
// plays. Automatic gain would level out whispers and shouts. Suppressing steady noise, such as fans, does no harm.
const CONSTRAINTS = { echoCancellation: false, autoGainControl: false, noiseSuppression: true, channelCount: { ideal: 1 } };

/** Open the microphone and return its audio track. Rejects when `signal` aborts; throws UserError where it cannot be had. */
export async function openMicrophone(signal) {
  const stream = await openDevice({ audio: CONSTRAINTS }, signal, ERRORS);
  return stream.getAudioTracks()[0];
}
