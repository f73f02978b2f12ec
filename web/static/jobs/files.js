// The File tab: videos, or recorded motion, that move the portrait of the Live tab, one after the other.

import { ask } from "../shared/http.js";
import { puppet } from "../live/main.js";
import { JobList } from "./job_list.js";

export function start(root, { motion }) {
  const [input, drop, label, note, list] = ["driving", "drop", "drop-words", "files-note", "files-jobs"].map((id) => root.querySelector(`#${id}`));
  if (motion) label.textContent = "Choose a video of a face or recorded motion (.npz, .pkl), or drop one here";
  const jobs = new JobList(list, "file-jobs", preview);
  const submit = async (files) => {
    const failures = [];
    for (const file of files) {
      note.textContent = `Sending ${file.name} …`;
      try {
        const query = new URLSearchParams({
          portrait: await puppet.portraitTray.chosen(),
          name: file.name,
          options: JSON.stringify(puppet.changedOptions()),
        });
        jobs.add(await (await ask(`jobs/animate?${query}`, { method: "POST", body: file })).json());
      } catch (error) {
        failures.push(error.message);
      }
    }
    note.textContent = failures.join(" ");
  };
  input.onchange = () => submit([...input.files]).then(() => (input.value = ""));
  drop.ondragover = () => drop.classList.add("over");
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    drop.classList.remove("over");
    submit([...event.dataTransfer.files]);
  };
  early.carryOut(root.querySelector(".sheet"));
}

function preview({ url, name }) {
  const video = Object.assign(document.createElement("video"), { src: url, controls: true, loop: true, playsInline: true });
  video.setAttribute("aria-label", `Preview of ${name}`);
  const save = Object.assign(document.createElement("a"), { href: url, textContent: "Download", className: "action primary" });
  save.download = `${name.replace(/\.\w+$/, "")} puppet.mp4`;
  return { shown: video, action: save };
}
