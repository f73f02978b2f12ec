// The client of `run.py latency` in a browser: sends numbered frames of a driver, reads the numbers of the frames that come
// back, and reports them to the server. realtime/bench/latency_client.py is the same without a browser. Times are seconds.

const COLUMNS = 16; // of the code in realtime/bench/timecode.py
const ROW_SHARE = 32;
const EXCHANGES = 50; // between the clocks, before and after the measurement
const STATS_MS = 100; // between readings of the jitter buffer's counters
const GRACE_MS = 1000; // after the window, for frames that are still on their way

const seconds = () => performance.now() / 1000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const video = document.getElementById("animated");

function crc16(number) {
  let crc = 0xffff;
  for (let bit = 15; bit >= 0; bit--) {
    const top = ((crc >> 15) ^ (number >> bit)) & 1;
    crc = ((crc << 1) & 0xffff) ^ (top ? 0x1021 : 0);
  }
  return crc;
}

function writeCode(context, number, width, height) {
  const row = Math.floor(height / ROW_SHARE);
  [number, crc16(number)].forEach((word, y) => {
    for (let x = 0; x < COLUMNS; x++) {
      const left = Math.floor((x * width) / COLUMNS);
      context.fillStyle = (word >> (15 - x)) & 1 ? "white" : "black";
      context.fillRect(left, y * row, Math.floor(((x + 1) * width) / COLUMNS) - left, row);
    }
  });
}

/** Return the number, or null where there is no intact code. `pixels` is the RGBA of the two rows. */
function readCode(pixels, width, row) {
  const words = [0, 1].map((y) => {
    let word = 0;
    for (let x = 0; x < COLUMNS; x++) {
      const [left, right] = [x, x + 1].map((edge) => Math.floor((edge * width) / COLUMNS));
      let sum = 0;
      for (let i = y * row; i < (y + 1) * row; i++) for (let j = left; j < right; j++) sum += pixels[4 * (i * width + j) + 1];
      word = (word << 1) | (sum / (row * (right - left)) > 126 ? 1 : 0);
    }
    return word;
  });
  return crc16(words[0]) === words[1] ? words[0] : null;
}

const ask = async (path, options) => {
  const response = await fetch(path, { cache: "no-store", ...options });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
};

async function compareClocks() {
  const exchanges = [];
  for (let i = 0; i < EXCHANGES; i++) {
    const asked = seconds();
    const answered = await (await ask("/latency/clock")).json();
    exchanges.push([asked, answered, seconds()]);
  }
  return exchanges;
}

async function driver() {
  const coded = await (await ask("/latency/driver")).json();
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Promise.all(coded.map((picture) => createImageBitmap(new Blob([bytes(picture)], { type: "image/jpeg" }))));
}

/** Make a camera, {track, drawn}: `drawn` grows by the time of each frame. */
function camera(bitmaps, { fps, camera: [width, height] }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const [track] = canvas.captureStream(0).getVideoTracks();
  const drawn = [];
  setInterval(() => {
    const number = drawn.length;
    drawn.push(seconds());
    context.drawImage(bitmaps[number % bitmaps.length], 0, 0, width, height);
    writeCode(context, number & 0xffff, width, height);
    track.requestFrame();
  }, 1000 / fps);
  return { track, drawn };
}

/** Record every frame that is presented; resolves with the first that has a number. */
function watch(shown) {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  return new Promise((first) => {
    const note = (_, { receiveTime, processingDuration, presentationTime }) => {
      const presented = performance.now();
      const [width, row] = [video.videoWidth, Math.floor(video.videoHeight / ROW_SHARE)];
      if (context.canvas.width !== width) Object.assign(context.canvas, { width, height: 2 * row });
      context.drawImage(video, 0, 0, width, 2 * row, 0, 0, width, 2 * row);
      const number = readCode(context.getImageData(0, 0, width, 2 * row).data, width, row);
      const decoding = processingDuration + (presented - presentationTime) / 1000;
      shown.push({ number, presented: presented / 1000, received: receiveTime / 1000, buffered: 0, decoding });
      if (number !== null) first();
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  });
}

async function report(pc, type) {
  return [...(await pc.getStats()).values()].find((entry) => entry.type === type) ?? {};
}

/** Note for each frame the mean time that the jitter buffer held the frames of the same tenth of a second. */
async function watchJitterBuffer(pc, shown) {
  let before = await report(pc, "inbound-rtp");
  for (let done = 0; ; await pause(STATS_MS)) {
    const after = await report(pc, "inbound-rtp");
    const emitted = after.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
    if (!emitted) continue;
    const mean = (after.jitterBufferDelay - before.jitterBufferDelay) / emitted;
    for (; done < shown.length; done++) shown[done].buffered = mean;
    before = after;
  }
}

async function connect(track, codec) {
  const pc = new RTCPeerConnection({ iceServers: [] });
  const transceiver = pc.addTransceiver(track, { direction: "sendrecv" });
  const wanted = [`video/${codec}`, "video/rtx"].map((type) => type.toLowerCase());
  const { codecs } = RTCRtpReceiver.getCapabilities("video");
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => wanted.includes(mimeType.toLowerCase())));
  pc.ontrack = (event) => (video.srcObject = new MediaStream([event.track]));
  await pc.setLocalDescription();
  const headers = { "content-type": "application/sdp" };
  const answer = await ask("/session", { method: "POST", headers, body: pc.localDescription.sdp });
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  return pc;
}

async function counters(pc) {
  const [up, down] = [await report(pc, "outbound-rtp"), await report(pc, "inbound-rtp")];
  return { up: up.bytesSent, down: down.bytesReceived, time: seconds() };
}

async function measure() {
  const plan = await (await ask("/latency/plan")).json();
  const { track, drawn } = camera(await driver(), plan);
  const exchanges = await compareClocks();
  const shown = [];
  const first = watch(shown);
  const opened = seconds();
  const pc = await connect(track, plan.codec);
  await first;
  const firstPicture = shown[0].presented - opened;
  watchJitterBuffer(pc, shown);
  await pause(1000 * plan.warm_up);
  const before = await counters(pc);
  await ask("/latency/window", { method: "POST" });
  const start = seconds();
  await pause(1000 * plan.seconds);
  const end = seconds();
  await ask("/latency/window", { method: "POST" });
  const after = await counters(pc);
  await pause(GRACE_MS);
  exchanges.push(...(await compareClocks()));
  const bitrate = (way) => (8 * (after[way] - before[way])) / (after.time - before.time);
  const recording = {
    client: navigator.userAgent.match(/\w*Chrom\w*\/[\d.]+/)?.[0] ?? navigator.userAgent,
    first_picture: firstPicture,
    start,
    end,
    drawn,
    shown: shown.map(({ number, presented, received, buffered, decoding }) => [number, presented, received, buffered, decoding]),
    exchanges,
    bitrate: { up: bitrate("up"), down: bitrate("down") },
  };
  await ask("/latency/recording", { method: "POST", body: JSON.stringify(recording) });
  pc.close();
}

measure().catch((error) => fetch("/latency/failure", { method: "POST", body: String(error) }));
