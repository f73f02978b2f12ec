// Takes a picture with the camera, as a file.

import { openCamera } from "./driver.js";

const EXPOSURE_MS = 800; // that a camera takes to find its brightness

/** Take a picture. `video` shows the camera during a run; otherwise the camera is opened for a moment. */
export async function snapshot(video) {
  if (video.srcObject) return still(video);
  const driver = await openCamera(new AbortController().signal);
  const preview = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: driver.stream });
  try {
    await preview.play();
    await new Promise((resolve) => setTimeout(resolve, EXPOSURE_MS));
    return await still(preview);
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
