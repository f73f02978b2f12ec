// Counts 3, 2, 1 over the picture before the driver's face becomes the neutral one.

const STEPS = 3;

/** Count down in `element`. Resolves to whether it reached the end; `signal` ends it before. */
export async function countDown(element, signal) {
  element.hidden = false;
  for (let left = STEPS; left > 0 && !signal.aborted; left--) {
    element.innerHTML = `<b>${left}</b><span>Look straight at the camera and relax your face</span>`;
    await new Promise((resolve) => {
      setTimeout(resolve, 1000);
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
  element.hidden = true;
  return !signal.aborted;
}
