// A picture from the camera, as a file.

import { openCamera } from "./driver.js";

const EXPOSURE = 800; // milliseconds that a camera takes to find its brightness

/** `video` shows the camera where a performance is on; else the camera is opened for a moment. */
export async function snapshot(video) {
  if (video.srcObject) return still(video);
  const driver = await openCamera(new AbortController().signal);
  const looking = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: driver.stream });
  try {
    await looking.play();
    await new Promise((resolve) => setTimeout(resolve, EXPOSURE));
    return await still(looking);
  } finally {
    driver.close();
  }
}

async function still(video) {
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "snapshot.png", { type: "image/png" });
}
