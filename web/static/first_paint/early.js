// Runs before anything is shown. Keeps what a user presses, chooses or drops on a page until the page's module has
// loaded and carries it out. A page is an element with the attribute "data-early"; only those are watched.
{
  const WAIT = "One moment: the page is still loading.";
  const BROKEN = "The page did not load completely. Reload it.";
  const kept = []; // [page, action][]

  /** For each event that is watched: return the action that repeats it, or nothing where the browser acts by itself. */
  const repeat = {
    click({ target }) {
      const button = target.closest("button[type=button]:not([popovertarget], :disabled)");
      return button && (() => button.click());
    },
    change({ target }) {
      const { checked } = target;
      return () => Object.assign(target, { checked }).dispatchEvent(new Event("change", { bubbles: true }));
    },
    submit(event) {
      event.preventDefault();
      return () => event.target.requestSubmit();
    },
    keydown: (event) => event.key.length === 1 && (() => event.target.dispatchEvent(new KeyboardEvent("keydown", event))),
    drop: (event) => give(event, "dataTransfer"),
    paste: (event) => give(event, "clipboardData"),
  };

  /** The files that an event brings can be read only while it happens. */
  function give(event, name) {
    const files = new DataTransfer();
    for (const file of event[name].files) files.items.add(file);
    const again = new event.constructor(event.type, { bubbles: true, cancelable: true, [name]: files });
    return files.files.length > 0 && (() => event.target.dispatchEvent(again));
  }

  function show(page, text, state = "connecting") {
    const note = page.querySelector("[role=status]");
    note.textContent = text;
    note.dataset.state = state;
  }

  function keep(event) {
    const elsewhere = ["drop", "paste", "keydown"].includes(event.type) && document.querySelector("#live[data-early]");
    const page = event.target.closest?.("[data-early]") ?? elsewhere;
    const action = page && repeat[event.type](event);
    if (!action) return;
    kept.push([page, action]);
    show(page, WAIT);
  }

  for (const type of Object.keys(repeat)) addEventListener(type, keep, true);
  for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault()); // else the browser opens the file
  addEventListener("error", ({ target }) => target.matches?.("script[type=module]") && show(document.getElementById("live"), BROKEN, "error"), true);

  window.early = {
    options: {}, // of Gradio's controls

    set(changes) {
      Object.assign(this.options, changes);
    },

    /** Repeat what was done on this page, whose controls work now. */
    carryOut(page) {
      const note = page.querySelector("[role=status]");
      if (note.textContent === WAIT) note.textContent = "";
      page.removeAttribute("data-early");
      for (const each of kept.splice(0)) each[0] === page ? each[1]() : kept.push(each);
    },
  };

  const theme = new URLSearchParams(location.search).get("__theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.body.classList.toggle("dark", theme === "dark"); // as Gradio does, later
  try {
    document.body.classList.toggle("consented", localStorage.getItem("puppet-consent") === "true"); // so that nothing jumps
  } catch {
    // storage is forbidden: the question is asked again
  }
}
