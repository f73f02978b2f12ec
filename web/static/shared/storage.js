// Values that this browser keeps for the page, as JSON by name. Where storage is forbidden, nothing is kept.

const PREFIX = "puppet-";

export function recall(name, otherwise, storage = localStorage) {
  try {
    return JSON.parse(storage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value, storage = localStorage) {
  try {
    storage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // then it holds until the page is left
  }
}
