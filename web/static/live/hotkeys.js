// Hotkeys: one key, one action. A key that is typed into a field, or that presses the focused control, does only that.

import { element, page } from "../shared/dom.js";
import { recall, remember } from "../shared/storage.js";

const TYPING = "input:not([type=checkbox], [type=radio], [type=range], [type=file]), textarea, select, [contenteditable=true]";
const PRESSING = "button, a, summary, [role=tab], [role=option], input[type=checkbox], input[type=radio], input[type=file]";

/** Bind `actions`: [key, label, function of the key][], where the key "1-9" stands for all digits but 0. */
export function listenToKeys(actions) {
  const on = page["keys-on"];
  const row = ([key, label]) => [element("dt", {}, key === " " ? "Space" : key.toUpperCase()), element("dd", {}, label)];
  page.keys.querySelector("dl").replaceChildren(...actions.flatMap(row));
  on.checked = recall("keys", true);
  on.onchange = () => remember("keys", on.checked);
  page.live.addEventListener("click", blurAfterClick);
  addEventListener("keydown", (event) => {
    const action = actions.find(([key]) => (key === "1-9" ? /^[1-9]$/.test(event.key) : key === event.key.toLowerCase()));
    if (!action || !on.checked || isUsedElsewhere(event)) return;
    event.preventDefault();
    action[2](event.key);
  });
}

/** A control that was clicked keeps no focus: the space bar would press it again. */
function blurAfterClick(event) {
  if (event.detail > 0 && event.target.closest("button, label, input")) document.activeElement?.blur();
}

function isUsedElsewhere(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return true;
  return target.matches?.(TYPING) || (key === " " && target.matches?.(PRESSING));
}
