// All devices, live.

import { h, number, text, time, version, gently } from "./dom.js";
import { List } from "./list.js";
import { devices, known, watch } from "./model.js";

const group = (device) => (device.group === null || device.group === undefined ? "" : String(device.group));

const COLUMNS = [
  { title: "Device", of: (device) => device.deviceId },
  { title: "State", of: (device) => (device.status === "disabled" ? "disabled" : device.connectionState) },
  { title: "Group", of: group },
  { title: "Installed", of: (device) => version(device.installedUpdateId) },
  { title: "Model", of: (device) => device.modelId ?? "" },
  { title: "Last activity (UTC)", of: (device) => time(device.lastActivityTime) },
];

// What was looked for stays while one looks at a device and comes back.
const wanted = { text: "", state: "", group: "", column: 0, down: false };

export function view(_, signal) {
  const search = h("input", { type: "search", id: "device-filter", value: wanted.text, autocomplete: "off" });
  const state = h("select", { id: "device-state" },
    ["", "connected", "disconnected", "disabled"].map((value) => h("option", { value, selected: value === wanted.state }, value || "any")));
  const groups = h("select", { id: "device-group" }, h("option", { value: "" }, "any"));
  const count = h("p", { id: "device-count", role: "status" });
  const list = new List({
    label: "Devices",
    name: "devices",
    columns: COLUMNS.map(({ title }) => ({ title, sort: true })),
    key: (device) => device.deviceId,
    draw: ([id, ...others], device, row) => {
      let link = id.firstChild;
      if (!link) id.append((link = h("a", { tabindex: "-1" })));
      const target = `#/device/${encodeURIComponent(device.deviceId)}`;
      if (link.getAttribute("href") !== target) link.setAttribute("href", target);
      text(link, device.deviceId);
      others.forEach((cell, index) => text(cell, COLUMNS[index + 1].of(device)));
      row.dataset.state = COLUMNS[1].of(device);
    },
    open: (device) => (location.hash = `#/device/${encodeURIComponent(device.deviceId)}`),
    onSort: (column) => {
      wanted.down = column === wanted.column && !wanted.down;
      wanted.column = column;
      show();
    },
  });

  const show = gently(() => {
    const needle = wanted.text.toLowerCase();
    const names = new Set();
    let connected = 0;
    const found = [];
    for (const device of devices.values()) {
      names.add(group(device));
      if (device.connectionState === "connected") connected += 1;
      const fits =
        (!needle || COLUMNS.some(({ of }) => of(device).toLowerCase().includes(needle))) &&
        (!wanted.state || COLUMNS[1].of(device) === wanted.state) &&
        (!wanted.group || group(device) === wanted.group);
      if (fits) found.push(device);
    }
    const { of } = COLUMNS[wanted.column];
    const keyed = found.map((device) => [of(device), device]);
    keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    if (wanted.down) keyed.reverse();
    list.set(keyed.map(([, device]) => device));
    list.sorted(wanted.column, wanted.down);
    const options = ["", ...[...names].filter(Boolean).sort()];
    if (options.join("\n") !== [...groups.options].map((option) => option.value).join("\n")) {
      groups.replaceChildren(...options.map((value) => h("option", { value, selected: value === wanted.group }, value || "any")));
    }
    if (!known) text(count, "");
    else if (!devices.size) text(count, "No device is registered yet.");
    else text(count, `${number(found.length)} of ${number(devices.size)} shown, ${number(connected)} connected`);
  }, () => 200);

  search.addEventListener("input", () => ((wanted.text = search.value), show()));
  state.addEventListener("change", () => ((wanted.state = state.value), show()));
  groups.addEventListener("change", () => ((wanted.group = groups.value), show()));
  watch(show, signal);
  show();
  return {
    title: "Devices",
    element: h("section", { class: "tall" },
      h("h2", { tabindex: "-1" }, "Devices"),
      h("div", { class: "bar" },
        h("label", {}, "Filter ", search),
        h("label", {}, "State ", state),
        h("label", {}, "Group ", groups),
        count),
      list.element),
  };
}
