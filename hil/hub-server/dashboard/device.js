// One device: its twin, what can be done to it, its messages.

import { call, get, path } from "./api.js";
import { clock, gently, h, sync, text, time, version } from "./dom.js";
import { follow } from "./feed.js";
import { panel } from "./log.js";
import { devices, touch, watch } from "./model.js";
import { changes, leaves, patchFor, rows, show } from "./twin.js";

/** Log lines after which the twin may be another. */
const OF_TWIN = new Set(["reported", "desiredSent", "deploymentChanged", "connected", "disconnected"]);

/** A form whose outcome stands beside its button. */
export function form(title, button, fields, act) {
  const outcome = h("output", { "aria-live": "polite" });
  const submit = h("button", {}, button);
  return h("form", { class: "act", "aria-label": title, on: { submit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    outcome.className = "";
    text(outcome, "…");
    try {
      text(outcome, await act());
    } catch (error) {
      outcome.className = "bad";
      text(outcome, error.message);
    }
    submit.disabled = false;
  } } }, h("h3", {}, title), fields, h("p", { class: "buttons" }, submit, " ", outcome));
}

export const field = (label, element) => h("label", {}, `${label} `, element);

function parse(source, what) {
  try {
    return JSON.parse(source);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${error.message}`);
  }
}

/** The twin as a table; `edit(path, value)` when a property is chosen. */
function twinTable(edit) {
  const body = h("tbody");
  const heading = h("p", { id: "twin-version", role: "status" });
  const only = h("input", { type: "checkbox" });
  let latest = null;
  // Old values of what has changed since the page was opened or told to forget, by section and path.
  const was = { desired: new Map(), reported: new Map() };

  const value = (cell, side, row) => {
    const now = side === "desired" ? row.wanted : row.has;
    const changed = was[side].has(row.path);
    const parts = [];
    if (changed && was[side].get(row.path) !== undefined) parts.push(h("del", {}, show(was[side].get(row.path))), " ");
    if (now !== undefined) parts.push(h(changed ? "ins" : "span", {}, show(now)));
    if (side === "reported" && row.answer) {
      const { ac, av, ad } = row.answer;
      parts.push(h("small", {}, ` answered ${ac} to version ${av}${ad ? `: ${ad}` : ""}`));
    }
    cell.replaceChildren(...parts);
  };

  const draw = () => {
    const { desired, reported } = latest;
    const found = rows(desired, reported, [...was.desired.keys(), ...was.reported.keys()]);
    const wanted = only.checked
      ? found.filter(({ path: at, state }) => state === "differs" || state === "not reported" || was.desired.has(at) || was.reported.has(at))
      : found;
    sync(body, wanted, ({ path: at }) => at, () => {
      const name = h("button", { type: "button", class: "plain", title: "Put it into the editor" });
      name.addEventListener("click", () => edit(name.textContent, latest.desired.values.get(name.textContent) ?? latest.reported.values.get(name.textContent)));
      return h("tr", {}, h("th", { scope: "row" }, name), h("td"), h("td"), h("td"));
    }, (line, row) => {
      // Rows that say the same as before are left alone: somebody may be selecting text.
      const print = JSON.stringify([row, was.desired.has(row.path), was.reported.has(row.path), was.desired.get(row.path), was.reported.get(row.path)]);
      if (line.print === print) return;
      line.print = print;
      line.dataset.state = row.state;
      text(line.children[0].firstChild, row.path);
      value(line.children[1], "desired", row);
      value(line.children[2], "reported", row);
      text(line.children[3], row.state);
    });
  };

  only.addEventListener("change", draw);
  const forget = h("button", { type: "button", on: { click: () => {
    was.desired.clear();
    was.reported.clear();
    draw();
  } } }, "Forget old values");
  return {
    element: h("div", {},
      h("div", { class: "bar" }, heading, h("label", {}, only, " Differences only"), forget),
      h("div", { class: "wide" }, h("table", { class: "twin" },
        h("caption", {}, "Twin: desired against reported; struck out: what it was before"),
        h("thead", {}, h("tr", {}, ["Property", "Desired", "Reported", "State"].map((title) => h("th", { scope: "col" }, title)))),
        body))),
    take(properties, at) {
      const now = { desired: leaves(properties.desired), reported: leaves(properties.reported) };
      let changed = 0;
      for (const side of latest ? ["desired", "reported"] : []) {
        for (const [name, old] of changes(latest[side].values, now[side].values)) {
          was[side].set(name, old);
          changed += 1;
        }
      }
      latest = now;
      const versions = `desired version ${properties.desired.$version}, reported version ${properties.reported.$version}`;
      if (changed || !heading.textContent) {
        heading.note = changed ? `; ${changed === 1 ? "1 property" : `${changed} properties`} changed at ${clock(at)}` : "";
      }
      text(heading, versions + (heading.note ?? ""));
      draw();
    },
  };
}

export function view([id], signal) {
  const url = path`/twins/${id}`;
  const state = h("span", { class: "badge" });
  const facts = h("dl", { class: "facts" });
  const tags = h("pre", { id: "tags", "aria-label": "Tags" });
  const trouble = h("p", { class: "bad", role: "alert", hidden: true });

  const part = h("select", { id: "edit-part" }, h("option", { value: "desired" }, "desired properties"), h("option", { value: "tags" }, "tags"));
  const patch = h("textarea", { id: "edit-patch", rows: "8", spellcheck: "false", required: true, placeholder: '{"interval": 10, "old": null}' });
  const table = twinTable((at, value) => {
    part.value = "desired";
    patch.value = JSON.stringify(patchFor(at, value), null, 2);
    patch.focus();
  });

  const showFacts = () => {
    const device = devices.get(id);
    const word = !device ? "unknown" : device.status === "disabled" ? "disabled" : device.connectionState;
    text(state, word);
    state.dataset.state = word;
    const all = device
      ? [
          ["Installed", version(device.installedUpdateId)],
          ["Model", device.modelId],
          ["Group", device.group],
          ["Last activity (UTC)", time(device.lastActivityTime)],
          ["Connection changed (UTC)", time(device.connectionStateUpdatedTime)],
          ["Messages that wait", device.cloudToDeviceMessageCount],
        ]
      : [];
    sync(facts, all, ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd")),
      (item, [, value]) => text(item.lastChild, value === "" || value === null || value === undefined ? "none" : value));
  };

  const take = (twin) => {
    trouble.hidden = true;
    text(tags, JSON.stringify(twin.tags, null, 2));
    table.take(twin.properties, new Date().toISOString());
  };
  const refresh = gently(async () => {
    if (signal.aborted) return;
    try {
      take(await get(url, signal));
    } catch (error) {
      if (signal.aborted) return;
      text(trouble, error.message);
      trouble.hidden = false;
    }
  }, () => 150);
  follow((news) => {
    if (news === null || news.some((line) => line.device === id && OF_TWIN.has(line.kind))) refresh();
  }, signal);
  // What others change in tags, and for devices that do not listen, makes no line.
  const timer = setInterval(() => document.hidden || refresh(), 5000);
  signal.addEventListener("abort", () => clearInterval(timer));
  watch(showFacts, signal);
  showFacts();
  touch(id);
  refresh();

  const disconnect = form("Connection", "Disconnect", [], async () => {
    await call("POST", path`/devices/${id}/disconnect`);
    touch(id);
    return "disconnected";
  });

  const edit = form("Change the twin", "Send patch", [
    field("Part", part),
    field("Merge patch (null deletes)", patch),
  ], async () => {
    const value = parse(patch.value, "the patch");
    take(await call("PATCH", url, part.value === "tags" ? { tags: value } : { properties: { desired: value } }));
    touch(id);
    return "sent";
  });

  const name = h("input", { id: "method-name", required: true, autocomplete: "off" });
  const payload = h("textarea", { id: "method-payload", rows: "3", spellcheck: "false", placeholder: "null" });
  const seconds = h("input", { type: "number", min: "5", max: "300", value: "30" });
  const method = form("Call a method", "Call", [field("Name", name), field("Payload (JSON)", payload), field("Timeout, seconds", seconds)], async () => {
    const answer = await call("POST", path`/twins/${id}/methods`, {
      methodName: name.value,
      payload: payload.value.trim() ? parse(payload.value, "the payload") : null,
      responseTimeoutInSeconds: Number(seconds.value) || 30,
    });
    return `status ${answer.status}: ${JSON.stringify(answer.payload)}`;
  });

  const body = h("textarea", { id: "message-body", rows: "3" });
  const properties = h("textarea", { rows: "2", spellcheck: "false", placeholder: "name=value" });
  const message = form("Send a message", "Send", [field("Text", body), field("Properties, one a line", properties)], async () => {
    const pairs = properties.value.split("\n").filter((line) => line.trim()).map((line) => {
      const at = line.indexOf("=");
      if (at < 1) throw new Error(`the property "${line}" is not name=value`);
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    });
    await call("POST", path`/devices/${id}/messages`, { body: body.value, properties: Object.fromEntries(pairs) });
    touch(id);
    return "queued";
  });

  return {
    title: id,
    element: h("section", {},
      h("h2", { tabindex: "-1" }, "Device ", h("span", { class: "id" }, id), " ", state),
      trouble,
      facts,
      table.element,
      h("h3", {}, "Tags"), tags,
      h("div", { class: "acts" }, edit, method, message, disconnect),
      h("h3", {}, "Messages"), panel({ device: id, signal })),
  };
}
