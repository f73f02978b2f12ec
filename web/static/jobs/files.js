// The File tab: videos, or recorded motion, that move the portrait of the Live tab, one after the other.

import { puppet } from "../live/main.js";
import { element, page } from "../shared/dom.js";
import { askJson } from "../shared/http.js";
import { JobList } from "./job_list.js";

export function start(root, { motion }) {
  const { driving, drop } = page;
  const note = page["files-note"];
  if (motion) page["drop-words"].textContent = "Choose a video of a face or recorded motion (.npz, .pkl), or drop one here";
  const jobs = new JobList("files-jobs", "file-jobs", ({ url, name }) => ({
    shown: element("video", { src: url, controls: true, loop: true, playsInline: true, ariaLabel: `Preview of ${name}` }),
    file: `${name.replace(/\.\w+$/, "")} puppet.mp4`,
  }));
  const submit = async (files) => {
    const failures = [];
    for (const file of files) {
      note.textContent = `Sending ${file.name} …`;
      try {
        const query = new URLSearchParams({
          portrait: await puppet.portraitTray.chosen(),
          name: file.name,
          options: JSON.stringify(puppet.options.changed()),
        });
        jobs.add(await askJson(`jobs/animate?${query}`, { method: "POST", body: file }));
      } catch (error) {
        failures.push(error.message);
      }
    }
    note.textContent = failures.join(" ");
  };
  driving.onchange = () => submit([...driving.files]).then(() => (driving.value = ""));
  drop.ondragover = () => drop.classList.add("over");
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    drop.classList.remove("over");
    submit([...event.dataTransfer.files]);
  };
  early.carryOut(root.querySelector(".sheet"));
}
