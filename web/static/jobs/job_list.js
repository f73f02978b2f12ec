// Jobs that the server works on: each has a line with its progress, a cancel button and the result. A reload keeps them.

import { ask } from "../shared/http.js";
import { recall, remember } from "../shared/storage.js";

const POLL_MS = 500;
const BUSY = ["waiting", "running"];

export class JobList {
  #list;
  #name;
  #show;

  /** `show(job)` returns {shown: an element, action: a link} for a job that is done. */
  constructor(list, name, show) {
    [this.#list, this.#name, this.#show] = [list, name, show];
    for (const id of recall(name, [], sessionStorage)) this.#resume(id);
  }

  /** Add a line for a job that the server has accepted, and follow the job. */
  add(job) {
    const line = document.createElement("li");
    line.className = "job";
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
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      job = await ask(`jobs/${job.id}`).then((response) => response.json(), (error) => (error.status ? { ...job, state: "failed", detail: error.message } : job));
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
    const name = Object.assign(document.createElement("b"), { textContent: job.name });
    const text = document.createElement("p");
    const buttons = document.createElement("span");
    const remove = Object.assign(document.createElement("button"), { type: "button", className: "action", textContent: busy ? "Cancel" : "Remove" });
    remove.onclick = () => this.#remove(line, job.id);
    if (busy) {
      const progress = document.createElement("progress");
      progress.setAttribute("aria-label", `Progress of ${job.name}`);
      buttons.append(remove);
      return [name, buttons, progress, text];
    }
    const made = job.state === "done" ? this.#show({ ...job, url: job.url.slice(1) }) : null;
    buttons.append(...(made ? [made.action] : []), remove);
    return [name, buttons, ...(made ? [made.shown] : []), text];
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
