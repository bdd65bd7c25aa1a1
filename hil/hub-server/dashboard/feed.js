// The hub's message log as it grows: one stream for the whole page, and who wants to know.

import { get } from "./api.js";
import { gently, text } from "./dom.js";

/** Lines that are worth catching up with one by one; beyond them everything is read anew. */
const BEHIND = 5000;
/** Lines that the page keeps. */
const KEPT = 10000;

/** The latest lines, oldest first. */
export let lines = [];

const listeners = new Set();
let pending = [];
let next = null;
let source = null;
let retry = 0;

/** Calls `listener(lines)` for new lines, and with null when lines were missed and everything has to be read anew. */
export function follow(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
}

const tell = (news) => {
  for (const listener of [...listeners]) listener(news);
};

const flush = gently(() => {
  const news = pending;
  pending = [];
  if (!news.length) return;
  lines.push(...news);
  if (lines.length > KEPT * 1.2) lines = lines.slice(-KEPT);
  tell(news);
}, () => 100);

function state(word) {
  const element = document.getElementById("feed");
  text(element, word);
  element.className = word;
}

async function reset() {
  pending = [];
  lines = await get("/log?limit=1000");
  next = lines.length ? lines.at(-1).number + 1 : 0;
  tell(null);
}

async function connect() {
  clearTimeout(retry);
  close();
  try {
    const latest = (await get("/log?limit=1")).at(-1);
    const end = latest ? latest.number + 1 : 0;
    // Fewer lines than were seen: it is another hub, or another life of one without a store.
    if (next === null || end < next || end - next > BEHIND) await reset();
  } catch {
    return again();
  }
  if (document.hidden) return;
  source = new EventSource(`/log/follow?from=${next}`);
  source.addEventListener("open", () => state("live"));
  source.addEventListener("error", again);
  source.addEventListener("message", (event) => {
    const line = JSON.parse(event.data);
    if (line.number < next) return;
    if (line.number > next) {
      // The hub left out what this page was too slow for.
      next = null;
      return connect();
    }
    next = line.number + 1;
    pending.push(line);
    flush();
  });
}

function close() {
  source?.close();
  source = null;
}

function again() {
  close();
  state("disconnected");
  clearTimeout(retry);
  retry = setTimeout(connect, 1000);
}

/** Follows the hub while somebody looks: a browser has six connections for a host, and hidden pages need none. */
export function start() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(retry);
      close();
      state("paused");
    } else {
      connect();
    }
  });
  return connect();
}
