// Removes the key colour, pure green, from a video and draws the rest with transparency into a canvas.
// A pixel is a mix of the person and the green behind. How much greener it is than red or blue gives the share of the
// green (a colour difference key); that share is also subtracted from the pixel's colour.

const NOISE = 14; // gray levels: a codec adds this much green where there is none

export class ChromaKey {
  #video;
  #canvas;
  #context;
  #on = false;

  constructor(video, canvas) {
    this.#video = video;
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Whether the background is transparent; the canvas is then shown instead of the video. */
  set on(on) {
    if (on === this.#on) return;
    this.#on = on;
    this.#canvas.hidden = !on;
    this.#video.style.opacity = on ? 0 : 1;
    if (on) this.#next();
  }

  #next() {
    this.#video.requestVideoFrameCallback(() => {
      if (!this.#on) return;
      this.#draw(this.#video.videoWidth, this.#video.videoHeight);
      this.#next();
    });
  }

  #draw(width, height) {
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#context.drawImage(this.#video, 0, 0);
    const picture = this.#context.getImageData(0, 0, width, height);
    removeGreen(picture.data);
    this.#context.putImageData(picture, 0, 0);
  }
}

/** Turn RGBA over green into RGBA over nothing, in place. */
export function removeGreen(pixels) {
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
