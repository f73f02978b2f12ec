// The Compare tab: runs `compare --quick` on the server and shows its report.

import { element, page } from "../shared/dom.js";
import { askJson } from "../shared/http.js";
import { JobList } from "./job_list.js";

export function start(root) {
  const jobs = new JobList("compare-jobs", "compare-jobs", ({ url }) => ({
    shown: element("iframe", { src: url, title: "Report of the comparison" }),
    file: "compare.html",
  }));
  page.compare.onclick = async () => {
    page["compare-note"].textContent = "";
    try {
      jobs.add(await askJson("jobs/compare", { method: "POST" }));
    } catch (error) {
      page["compare-note"].textContent = error.message;
    }
  };
  early.carryOut(root.querySelector(".sheet"));
}
