// The message log, of all devices or of one.

import { get } from "./api.js";
import { clock, gently, h, number, text } from "./dom.js";
import { follow, lines } from "./feed.js";
import { List } from "./list.js";
import { devices } from "./model.js";

/** Characters of a message that a row shows; all of it is below the list. */
const ROW = 400;

/** What a line says, apart from whom it is about. */
function gist(line) {
  const parts = Object.entries(line.event)
    .filter(([name, value]) => name !== "device" && value !== null)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return parts.join("  ").slice(0, ROW);
}

const texts = new WeakMap();
function searched(line) {
  let found = texts.get(line);
  if (found === undefined) texts.set(line, (found = `${line.device ?? ""} ${line.kind} ${JSON.stringify(line.event)}`.toLowerCase()));
  return found;
}

/** A list of lines with its filters; of one device if `device` is given. */
export function panel({ device, signal }) {
  const filter = { device: device ?? "", kind: "", text: "" };
  let older = [];
  let shown = [];
  let paused = false;
  let missed = 0;

  const fits = (line) =>
    (device === undefined
      ? !filter.device || (line.device ?? "").toLowerCase().includes(filter.device.toLowerCase())
      : line.device === device) &&
    (!filter.kind || line.kind === filter.kind) &&
    (!filter.text || searched(line).includes(filter.text.toLowerCase()));

  const whole = h("pre", { tabindex: "0", "aria-label": "The chosen line", hidden: true });
  const list = new List({
    label: device === undefined ? "Message log, newest first" : `Messages of ${device}, newest first`,
    name: device === undefined ? "log" : "log one",
    columns: ["No.", "Time (UTC)", ...(device === undefined ? ["Device"] : []), "Kind", "What"].map((title) => ({ title })),
    key: (line) => line.number,
    draw: (cells, line, row) => {
      const values = [line.number, clock(line.at), ...(device === undefined ? [line.device ?? ""] : []), line.kind, gist(line)];
      cells.forEach((cell, index) => text(cell, values[index]));
      row.dataset.kind = line.kind;
    },
    open: (line) => {
      whole.hidden = false;
      text(whole, JSON.stringify(line, null, 2));
    },
  });

  const kinds = h("select", {}, h("option", { value: "" }, "any"));
  const seen = new Set();
  const learn = (news) => {
    const before = seen.size;
    for (const line of news) seen.add(line.kind);
    if (seen.size === before) return;
    kinds.replaceChildren(...["", ...[...seen].sort()].map((value) =>
      h("option", { value, selected: value === filter.kind }, value || "any")));
  };
  const count = h("span", { class: "count", role: "status" });
  const pause = h("button", { type: "button", "aria-pressed": "false", on: { click: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    if (!paused) again();
    say();
  } } }, "Pause");

  const say = () => {
    text(pause, paused ? `Continue${missed ? ` (${number(missed)} new)` : ""}` : "Pause");
    text(count, `${number(shown.length)} lines`);
  };
  const draw = gently(() => {
    list.set([...shown].reverse(), true);
    say();
  }, () => 100);

  /** Filters everything anew. */
  const again = () => {
    missed = 0;
    const first = lines.length ? lines[0].number : Infinity;
    shown = [...older.filter((line) => line.number < first), ...lines].filter(fits);
    learn(lines);
    draw();
  };

  let asked = null;
  /** The hub has more lines of a device or kind than this page keeps of all. */
  const fetchOlder = gently(async () => {
    asked?.abort();
    asked = new AbortController();
    const query = new URLSearchParams({ limit: "1000" });
    if (devices.has(filter.device) || device !== undefined) query.set("device", filter.device);
    if (filter.kind) query.set("kind", filter.kind);
    older = query.size > 1 ? await get(`/log?${query}`, asked.signal).catch(() => []) : [];
    learn(older);
    if (!paused) again();
  }, () => 250);

  const on = (name) => (event) => {
    filter[name] = event.target.value;
    again();
    fetchOlder();
  };
  kinds.addEventListener("change", on("kind"));
  follow((news) => {
    if (news === null) return fetchOlder();
    learn(news);
    const fitting = news.filter(fits);
    if (!fitting.length) return;
    if (paused) {
      missed += fitting.length;
      return say();
    }
    shown.push(...fitting);
    if (shown.length > 12000) shown = shown.slice(-10000);
    draw();
  }, signal);
  signal.addEventListener("abort", () => asked?.abort());
  again();
  fetchOlder();

  const box = (name, label) => h("label", {}, `${label} `, h("input", { type: "search", name, autocomplete: "off", on: { input: on(name) } }));
  return h("div", { class: "panel" },
    h("div", { class: "bar" }, device === undefined ? box("device", "Device") : null, h("label", {}, "Kind ", kinds), box("text", "Text"), pause, count),
    list.element, whole);
}

export function view(_, signal) {
  return {
    title: "Log",
    element: h("section", { class: "tall" }, h("h2", { tabindex: "-1" }, "Message log"), panel({ signal })),
  };
}
