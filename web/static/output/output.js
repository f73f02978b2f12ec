// The output page: the portrait of one session and nothing else. Its address names the session: /view/SESSION. "whip"
// stands for the newest session that a stream drives; with --whip-token the address is /view/SESSION#token=TEXT.

import { chromaKey } from "./chroma_key.js";
import { watch } from "../shared/whep.js";

const POLL_MS = 1000; // between questions for the session's options
const root = new URL("..", location.href);
const session = location.pathname.split("/").pop();
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const [video, canvas] = [document.querySelector("video"), document.querySelector("canvas")];
const showTransparent = chromaKey(video, canvas);

async function followOptions() {
  const response = await fetch(new URL(`session/${session}/options`, root)).catch(() => null);
  if (response?.ok) showTransparent((await response.json()).background === "transparent");
  setTimeout(followOptions, POLL_MS);
}

followOptions();
watch(root, session, video, token ? { Authorization: `Bearer ${token}` } : {});
