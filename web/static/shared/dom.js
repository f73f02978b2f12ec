// Elements of the page, and pauses.

/** The elements of the document by their ids; undefined where there is none. */
export const page = new Proxy({}, { get: (_, id) => document.getElementById(id) ?? undefined });

/** Make an element with these properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Wait; `signal` ends it before. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", resolve, { once: true });
  });
}
