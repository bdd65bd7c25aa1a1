// The progress of a deployment as a picture.

import { h, number, svg, sync, text } from "./dom.js";

/** States of a device, in the order of counts and bars: name at the API, count at the API, word, sign. */
export const STATES = [
  ["Succeeded", "devicesCompletedSucceededCount", "succeeded", "✓"],
  ["InProgress", "devicesInProgressCount", "in progress", "…"],
  ["Failed", "devicesCompletedFailedCount", "failed", "✕"],
  ["Canceled", "devicesCanceledCount", "cancelled", "–"],
];

const WORDS = new Map(STATES.map(([state, , word]) => [state, word]));
const SIGNS = new Map(STATES.map(([state, , , sign]) => [state, sign]));

/** A state in words. */
export const word = (state) => WORDS.get(state) ?? state;

const percent = (part, whole) => (whole ? `${Math.round((1000 * part) / whole) / 10} %` : "");

/** All counts in words. */
export const summary = (status) =>
  STATES.filter(([, count]) => status[count]).map(([, count, name]) => `${number(status[count])} ${name} (${percent(status[count], status.totalDevices)})`).join(", ")
  || "no device yet";

/** A bar of the states' shares; `draw(status)` changes it. */
export function bar() {
  const parts = STATES.map(([state]) => svg("rect", { "data-state": state, y: 0, height: 12 }));
  const element = svg("svg", { class: "cells share", role: "img", viewBox: "0 0 100 12", preserveAspectRatio: "none", width: 160, height: 12 },
    svg("rect", { width: 100, height: 12 }), parts);
  return {
    element,
    draw(status) {
      let x = 0;
      parts.forEach((part, index) => {
        const width = status.totalDevices ? (100 * status[STATES[index][1]]) / status.totalDevices : 0;
        part.setAttribute("x", x);
        part.setAttribute("width", width);
        x += width;
      });
      element.setAttribute("aria-label", summary(status));
    },
  };
}

/** The states with their counts and shares: the key to the picture. */
export function key() {
  const element = h("ul", { class: "keys" });
  return {
    element,
    draw: (status) => sync(element, STATES, ([state]) => state, ([state]) => h("li", { class: "key", "data-state": state }),
      (item, [, count, name]) => text(item, `${number(status[count])} ${name} ${percent(status[count], status.totalDevices)}`)),
  };
}

/** Side of a cell for so many, pixels: all of them are to be seen at once. */
const side = (count) => (count <= 300 ? 26 : count <= 3000 ? 12 : 6);
const WIDTH = 1092;

/** One cell a device. The list below the picture has the same for keyboards and readers. */
export function cells(open) {
  const hint = h("p", { class: "hint" });
  const element = svg("svg", { class: "cells", role: "img" });
  const known = new Map();
  let order = "";

  const lay = (devices) => {
    const size = side(devices.length);
    const columns = Math.floor(WIDTH / size);
    known.clear();
    element.replaceChildren(...devices.flatMap(({ deviceId }, index) => {
      const x = (index % columns) * size;
      const y = Math.floor(index / columns) * size;
      const rect = svg("rect", { x, y, width: size - 2, height: size - 2, rx: size / 8 });
      rect.device = deviceId;
      const sign = size > 20 ? svg("text", { x: x + (size - 2) / 2, y: y + (size - 2) / 2 }) : null;
      known.set(deviceId, { rect, sign });
      return sign ? [rect, sign] : [rect];
    }));
    const width = Math.min(devices.length, columns) * size;
    const height = Math.ceil(devices.length / columns) * size;
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) element.setAttribute(name, value);
  };

  let told = new Map();
  element.addEventListener("pointermove", ({ target }) => {
    const state = told.get(target.device);
    text(hint, state ? `${state.deviceId}: ${word(state.deviceState)}, ${state.message}` : "");
  });
  element.addEventListener("click", ({ target }) => target.device !== undefined && open(target.device));
  return {
    element: h("div", { class: "picture" }, element, hint),
    draw(devices, status) {
      const ids = JSON.stringify(devices.map(({ deviceId }) => deviceId));
      if (ids !== order) lay(devices);
      order = ids;
      told = new Map(devices.map((device) => [device.deviceId, device]));
      for (const { deviceId, deviceState } of devices) {
        const { rect, sign } = known.get(deviceId);
        if (rect.getAttribute("data-state") === deviceState) continue;
        rect.setAttribute("data-state", deviceState);
        if (sign) text(sign, SIGNS.get(deviceState) ?? "?");
      }
      element.setAttribute("aria-label", `One cell a device: ${summary(status)}`);
    },
  };
}
