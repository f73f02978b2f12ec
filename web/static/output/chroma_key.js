// Removes the key colour, pure green, from a video and draws the rest with transparency into a canvas.
// A pixel is a mix of the person and the green behind. How much greener it is than red or blue gives the share of the
// green (a colour difference key); that share is also subtracted from the pixel's colour.

const NOISE = 14; // gray levels: a codec adds this much green where there is none

/** Return a function that switches transparency on or off. While it is on, the canvas is shown instead of the video. */
export function chromaKey(video, canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let on = false;
  const draw = () => {
    if (!on) return;
    const [width, height] = [video.videoWidth, video.videoHeight];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.drawImage(video, 0, 0);
    const picture = context.getImageData(0, 0, width, height);
    removeGreen(picture.data);
    context.putImageData(picture, 0, 0);
    video.requestVideoFrameCallback(draw);
  };
  return (wanted) => {
    if (wanted === on) return;
    on = wanted;
    canvas.hidden = !on;
    video.style.opacity = on ? 0 : 1;
    if (on) video.requestVideoFrameCallback(draw);
  };
}

/** Turn RGBA over green into RGBA over nothing, in place. */
function removeGreen(pixels) {
  for (let i = 0; i < pixels.length; i += 4) {
    const greener = pixels[i + 1] - Math.max(pixels[i], pixels[i + 2]);
    if (greener <= NOISE) continue;
    const alpha = Math.max(0, 1 - (greener - NOISE) / (255 - 4 * NOISE));
    pixels[i + 3] = 255 * alpha;
    if (!alpha) continue;
    pixels[i] /= alpha;
    pixels[i + 1] = (pixels[i + 1] - 255 * (1 - alpha)) / alpha;
    pixels[i + 2] /= alpha;
  }
}
