// Jobs that the server works on: each has a line with its progress, a cancel button and the result. A reload keeps them.

import { element, page, pause } from "../shared/dom.js";
import { askJson } from "../shared/http.js";
import { recall, remember } from "../shared/storage.js";

const POLL_MS = 500;
const BUSY = ["waiting", "running"];

export class JobList {
  #list;
  #name;
  #show;

  /** `id`: of the list's element. `show(job)` returns {shown: an element, file: the download's name} for a job that is done. */
  constructor(id, name, show) {
    [this.#list, this.#name, this.#show] = [page[id], name, show];
    for (const job of recall(name, [], sessionStorage)) this.#resume(job);
  }

  /** Add a line for a job that the server has accepted, and follow the job. */
  add(job) {
    const line = element("li", { className: "job" });
    line.dataset.id = job.id;
    this.#list.prepend(line);
    this.#keep();
    this.#follow(line, job);
  }

  async #resume(id) {
    const response = await fetch(`jobs/${id}`);
    if (response.ok) this.add(await response.json());
  }

  async #follow(line, job) {
    this.#draw(line, job);
    while (BUSY.includes(job.state) && line.isConnected) {
      await pause(POLL_MS);
      job = await askJson(`jobs/${job.id}`).catch((error) => (error.status ? { ...job, state: "failed", detail: error.message } : job));
      if (line.isConnected) this.#draw(line, job);
    }
  }

  #draw(line, job) {
    const busy = BUSY.includes(job.state);
    if (line.dataset.state !== job.state) line.replaceChildren(...this.#parts(line, job, busy));
    line.dataset.state = job.state;
    const [progress, text] = [line.querySelector("progress"), line.querySelector("p")];
    if (busy && job.total) [progress.value, progress.max] = [job.done, job.total];
    text.textContent = busy ? (job.step ? `${job.step}: ${job.done} of ${job.total}` : "Waiting or loading …") : job.detail.split("\n")[0];
    text.classList.toggle("bad", job.state === "failed");
  }

  #parts(line, job, busy) {
    const name = element("b", { textContent: job.name });
    const remove = element("button", { type: "button", className: "action", textContent: busy ? "Cancel" : "Remove" });
    remove.onclick = () => this.#remove(line, job.id);
    if (busy) return [name, element("span", {}, remove), element("progress", { ariaLabel: `Progress of ${job.name}` }), element("p")];
    if (job.state !== "done") return [name, element("span", {}, remove), element("p")];
    const href = job.url.slice(1);
    const { shown, file } = this.#show({ ...job, url: href });
    const save = element("a", { href, textContent: "Download", className: "action primary", download: file });
    return [name, element("span", {}, save, remove), shown, element("p")];
  }

  #remove(line, id) {
    line.remove();
    this.#keep();
    fetch(`jobs/${id}`, { method: "DELETE" }).catch(() => {});
  }

  #keep() {
    remember(this.#name, [...this.#list.children].map((line) => line.dataset.id).reverse(), sessionStorage);
  }
}
