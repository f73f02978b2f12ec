// The Compare tab: runs `compare --quick` on the server and shows its report.

import { ask } from "../shared/http.js";
import { JobList } from "./job_list.js";

export function start(root) {
  const [button, note, list] = ["compare", "compare-note", "compare-jobs"].map((id) => root.querySelector(`#${id}`));
  const jobs = new JobList(list, "compare-jobs", report);
  button.onclick = async () => {
    note.textContent = "";
    try {
      jobs.add(await (await ask("jobs/compare", { method: "POST" })).json());
    } catch (error) {
      note.textContent = error.message;
    }
  };
  early.carryOut(root.querySelector(".sheet"));
}

function report({ url }) {
  const frame = Object.assign(document.createElement("iframe"), { src: url, title: "Report of the comparison" });
  frame.style.gridColumn = "1 / -1";
  const save = Object.assign(document.createElement("a"), { href: url, textContent: "Download", className: "action primary", download: "compare.html" });
  return { shown: frame, action: save };
}
