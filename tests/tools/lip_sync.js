// Runs in the page for tests/tools/lip_sync.py: replaces the camera by one that numbers its pictures and the microphone by
// one that beeps, and notes when (ms since 1970) each picture and beep leaves and comes back.
async ({ codec, warmUp, seconds }) => {
  const worklets = `
    const EVERY = Math.round(0.7 * sampleRate / 128), LOUD = 12; // blocks
    registerProcessor("mouth", class extends AudioWorkletProcessor {
      block = -1;
      process(_, [[samples]]) {
        this.block = (this.block + 1) % EVERY;
        if (this.block === 0) this.port.postMessage(Date.now());
        const wave = (_, i) => 0.5 * Math.sin(2 * Math.PI * 1000 * (this.block * 128 + i) / sampleRate);
        if (this.block < LOUD) samples.set(samples.map(wave));
        return true;
      }
    });
    registerProcessor("ear", class extends AudioWorkletProcessor {
      quiet = 0;
      process([[samples]]) {
        if (!samples) return true;
        const loud = samples.findIndex((sample) => Math.abs(sample) > 0.1);
        if (loud >= 0 && this.quiet > 0.2 * sampleRate) this.port.postMessage(Date.now() + 1000 * loud / sampleRate);
        this.quiet = loud >= 0 ? 0 : this.quiet + 128;
        return true;
      }
    });`;
  const audio = new AudioContext({ latencyHint: "interactive", sampleRate: 48000 });
  await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([worklets], { type: "text/javascript" })));
  const found = { drawn: [], shown: [], begun: [], heard: [], looped: [] };
  const now = () => performance.timeOrigin + performance.now();
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
  const paper = canvas.getContext("2d", { alpha: false });
  const [camera] = canvas.captureStream(0).getVideoTracks();
  let count = 0;
  const draw = () => {
    count = (count % 255) + 1;
    paper.fillStyle = "#5a5a5a";
    paper.fillRect(0, 0, 640, 480);
    for (let bit = 0; bit < 8; bit++) {
      paper.fillStyle = (count >> bit) & 1 ? "#fff" : "#000";
      paper.fillRect(16 * bit, 0, 16, 16);
    }
    found.drawn.push([count, now()]);
    camera.requestFrame();
  };
  const mouth = new AudioWorkletNode(audio, "mouth", { outputChannelCount: [1] });
  const microphone = audio.createMediaStreamDestination();
  mouth.connect(microphone);
  mouth.port.onmessage = ({ data }) => found.begun.push(data);
  navigator.mediaDevices.getUserMedia = async ({ video }) => new MediaStream(video ? [camera] : microphone.stream.getAudioTracks());

  let connection;
  const Stock = RTCPeerConnection;
  window.RTCPeerConnection = function (configuration) {
    return (connection = new Stock(configuration));
  };
  const prefer = RTCRtpTransceiver.prototype.setCodecPreferences;
  RTCRtpTransceiver.prototype.setCodecPreferences = function (codecs) {
    prefer.call(this, codecs.filter(({ mimeType, sdpFmtpLine = "" }) =>
      mimeType === `video/${codec}` && (codec === "VP8" || sdpFmtpLine.includes("packetization-mode=1"))));
  };
  const screen = document.getElementById("animated");
  const small = Object.assign(document.createElement("canvas"), { width: 128, height: 16 }).getContext("2d", { willReadFrequently: true });
  const look = () => {
    const time = now();
    small.drawImage(screen, 0, 0, 128, 16, 0, 0, 128, 16);
    const row = small.getImageData(0, 8, 128, 1).data;
    let number = 0;
    for (let bit = 0; bit < 8; bit++) if (row[4 * (16 * bit + 8)] > 127) number |= 1 << bit;
    found.shown.push([number, time]);
    screen.requestVideoFrameCallback(look);
  };
  screen.requestVideoFrameCallback(look);
  setInterval(draw, 1000 / 30);
  document.getElementById("audio").checked = true;
  document.getElementById("start").click();

  while (!screen.srcObject?.getAudioTracks?.().length) await wait(50);
  const listen = (tracks, times) => {
    const ear = new AudioWorkletNode(audio, "ear");
    ear.port.onmessage = ({ data }) => times.push(data);
    audio.createMediaStreamSource(new MediaStream(tracks)).connect(ear).connect(audio.createMediaStreamDestination());
  };
  listen(screen.srcObject.getAudioTracks(), found.heard);
  listen(microphone.stream.getAudioTracks(), found.looped);
  const buffer = async () => {
    const reports = [...(await connection.getStats()).values()];
    return reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  };
  await wait(1000 * warmUp);
  for (const list of Object.values(found)) list.length = 0;
  const before = await buffer();
  await wait(1000 * seconds);
  const after = await buffer();
  const since = (name) => after[name] - before[name];
  return { ...found, buffered: (1000 * since("jitterBufferDelay")) / since("jitterBufferEmittedCount"), concealed: since("concealedSamples") };
}
