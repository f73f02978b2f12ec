// The output page: one session's puppet and nothing else. Its address says whose: /view/SESSION, where "whip" is the
// newest that a stream drives, and with --whip-token /view/SESSION#token=TEXT.

import { Key } from "./chroma_key.js";
import { watch } from "../shared/whep.js";

const LOOK = 1000; // milliseconds between looks at the session's options
const root = new URL("..", location.href);
const session = location.pathname.split("/").pop();
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const [video, canvas] = [document.querySelector("video"), document.querySelector("canvas")];
const key = new Key(video, canvas);

async function look() {
  const response = await fetch(new URL(`session/${session}/options`, root)).catch(() => null);
  if (response?.ok) key.on = (await response.json()).background === "transparent";
  setTimeout(look, LOOK);
}

look();
watch(root, session, video, token ? { Authorization: `Bearer ${token}` } : {});
