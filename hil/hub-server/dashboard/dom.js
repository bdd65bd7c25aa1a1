// Elements. Text becomes text nodes, never markup: much of it was chosen by devices.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; `attributes.on` has listeners by type. */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets an element's text if it is another, so that selections and readers are left alone. */
export function text(element, value) {
  const string = value === null || value === undefined ? "" : String(value);
  if (element.textContent !== string) element.textContent = string;
}

/** Makes `parent` have one child for each item, in order; children are kept by key. */
export function sync(parent, items, key, make, update) {
  parent.kept ??= new Map();
  const left = new Map(parent.kept);
  let after = null;
  for (const item of items) {
    const name = key(item);
    let child = left.get(name);
    left.delete(name);
    if (!child) {
      child = make(item);
      parent.kept.set(name, child);
    }
    update(child, item);
    const place = after ? after.nextSibling : parent.firstChild;
    if (place !== child) parent.insertBefore(child, place);
    after = child;
  }
  for (const [name, child] of left) {
    child.remove();
    parent.kept.delete(name);
  }
}

/** Runs `work` soon, once for many calls, and at most every `pause()` milliseconds. */
export function gently(work, pause = () => 0) {
  let waiting = false;
  let running = false;
  let last = -Infinity;
  const run = async () => {
    waiting = false;
    if (running) return ask();
    running = true;
    last = performance.now();
    try {
      await work();
    } finally {
      running = false;
    }
  };
  function ask() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => requestAnimationFrame(run), Math.max(running ? 50 : 0, last + pause() - performance.now()));
  }
  return ask;
}

/** `2026-01-31T12:00:00.1234567Z` as people read it, in UTC. */
export const time = (at) => (at ? `${at.slice(0, 10)} ${at.slice(11, 19)}` : "");

/** The same with milliseconds and without the day. */
export const clock = (at) => (at ? at.slice(11, 23) : "");

export const number = (value) => value.toLocaleString("en");

/** An update id, which devices report as JSON in a text, for people. */
export function version(id) {
  if (id === null || id === undefined) return "";
  let value = id;
  if (typeof id === "string") {
    try {
      value = JSON.parse(id);
    } catch {
      return id;
    }
  }
  if (typeof value?.version !== "string") return typeof id === "string" ? id : JSON.stringify(id);
  return `${value.provider}/${value.name} ${value.version}`;
}

const notice = document.getElementById("notice");

/** Says something to everybody; nothing takes it away. */
export function say(message) {
  text(notice, message);
  notice.hidden = !message;
}
