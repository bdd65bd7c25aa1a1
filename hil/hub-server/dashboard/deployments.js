// All deployments, and making one.

import { call, get, path } from "./api.js";
import { bar, summary } from "./cells.js";
import { form, field } from "./device.js";
import { gently, h, sync, text, version } from "./dom.js";
import { follow } from "./feed.js";

/** Log lines after which a deployment may stand elsewhere. */
export const OF_DEPLOYMENTS = new Set(["reported", "deploymentChanged", "connected", "disconnected", "subscribed", "twinRead"]);

export const target = (deployment) => (deployment.groupId === undefined ? `device ${deployment.deviceId}` : `group ${deployment.groupId}`);

/** What the hub says of a deployment in a word. */
export const state = ({ status }) =>
  ({ Active: status.started ? "active" : "scheduled", Inactive: "replaced", Canceled: "cancelled" })[status.deploymentState] ?? status.deploymentState;

/** Buttons that cancel and retry `id()`; `then(sentence, bad)` tells the outcome. */
export function actions(id, then) {
  const act = (word, work) => h("button", { type: "button", on: { click: async ({ target: button }) => {
    button.disabled = true;
    try {
      then(await work(id()), false);
    } catch (error) {
      then(error.message, true);
    }
    button.disabled = false;
  } } }, word);
  return h("span", { class: "buttons" },
    act("Cancel", async (one) => {
      await call("POST", path`/deployments/${one}/cancel`);
      return `deployment ${one} is cancelled`;
    }), " ",
    act("Retry", async (one) => {
      const { devices } = await call("POST", path`/deployments/${one}/retry`);
      return devices === 1 ? "1 device was asked to try again" : `${devices} devices were asked to try again`;
    }));
}

function options(select, values, label) {
  const wanted = select.value;
  select.replaceChildren(...values.map((value) => h("option", { value, selected: value === wanted }, label(value))));
}

export function view(_, signal) {
  const said = h("p", { id: "deployments-said", role: "status" });
  const tell = (sentence, bad) => {
    said.className = bad ? "bad" : "";
    text(said, sentence);
    refresh();
  };
  const trouble = h("p", { class: "bad", role: "alert", hidden: true });
  const body = h("tbody");
  const none = h("p", {}, "There is no deployment.");

  const update = h("select", { id: "new-update", required: true });
  const kind = h("select", { id: "new-kind" }, h("option", { value: "group" }, "group"), h("option", { value: "device" }, "device"));
  const group = h("select", { id: "new-group" });
  const device = h("input", { id: "new-device", autocomplete: "off" });
  const start = h("input", { id: "new-start", type: "datetime-local" });
  const back = h("select", { id: "new-back" });
  const share = h("input", { type: "number", min: "1", max: "100", value: "50" });
  const count = h("input", { type: "number", min: "1", value: "1" });
  const [groupField, deviceField] = [field("Group", group), field("Device", device)];
  const rollback = h("details", {}, h("summary", {}, "Roll back by itself"),
    field("To", back), field("once so many percent have failed", share), field("and at least so many devices", count));
  const choose = () => {
    groupField.hidden = rollback.hidden = kind.value !== "group";
    deviceField.hidden = kind.value === "group";
  };
  kind.addEventListener("change", choose);
  choose();
  const make = form("Start a deployment", "Start", [
    field("Update", update), field("For a", kind), groupField, deviceField, field("Start (UTC), at once if empty", start), rollback,
  ], async () => {
    const wanted = { updateId: JSON.parse(update.value) };
    if (kind.value === "group") wanted.group = group.value;
    else wanted.device = device.value;
    if (start.value) wanted.startTime = `${start.value.length === 16 ? `${start.value}:00` : start.value}Z`;
    if (kind.value === "group" && back.value) {
      wanted.rollback = { updateId: JSON.parse(back.value), devicesFailedPercentage: Number(share.value), devicesFailedCount: Number(count.value) };
    }
    const made = await call("POST", "/deployments", wanted);
    refresh();
    return `deployment ${made.deploymentId} is made`;
  });

  const row = () => {
    const link = h("a");
    const share = bar();
    const numbers = h("small");
    const buttons = actions(() => link.textContent, tell);
    const line = h("tr", {}, h("th", { scope: "row" }, link), h("td"), h("td"), h("td"), h("td", {}, share.element, h("br"), numbers), h("td"), h("td", {}, buttons));
    line.draw = (deployment) => {
      const id = deployment.deploymentId;
      text(link, id);
      link.setAttribute("href", `#/deployment/${encodeURIComponent(id)}`);
      text(line.children[1], version(deployment.update.updateId));
      text(line.children[2], target(deployment));
      text(line.children[3], state(deployment));
      share.draw(deployment.status);
      text(numbers, summary(deployment.status));
      text(line.children[5], deployment.judgement.message);
      buttons.hidden = deployment.status.deploymentState !== "Active";
    };
    return line;
  };

  let cost = 0;
  const refresh = gently(async () => {
    if (signal.aborted) return;
    const began = performance.now();
    try {
      const [deployments, updates, groups] = await Promise.all(["/deployments", "/updates?isDeployable=true", "/groups"].map((url) => get(url, signal)));
      deployments.sort((a, b) => (a.startDateTime < b.startDateTime ? 1 : a.startDateTime > b.startDateTime ? -1 : 0));
      trouble.hidden = true;
      none.hidden = deployments.length > 0;
      sync(body, deployments, ({ deploymentId }) => deploymentId, row, (line, deployment) => line.draw(deployment));
      const ids = updates.map(({ updateId }) => JSON.stringify(updateId));
      options(update, ids, version);
      options(back, ["", ...ids], (id) => (id ? version(id) : "nothing"));
      options(group, groups.map(({ groupId }) => groupId), (id) => id);
    } catch (error) {
      if (signal.aborted) return;
      trouble.hidden = false;
      text(trouble, error.message);
    }
    cost = performance.now() - began;
  }, () => Math.max(250, 5 * cost));
  follow((news) => {
    if (news === null || news.some(({ kind: word }) => OF_DEPLOYMENTS.has(word))) refresh();
  }, signal);
  // Imports, and what others start or cancel for devices that do not listen, make no line.
  const timer = setInterval(() => document.hidden || refresh(), 5000);
  signal.addEventListener("abort", () => clearInterval(timer));
  refresh();

  return {
    title: "Deployments",
    element: h("section", {},
      h("h2", { tabindex: "-1" }, "Deployments"), said, trouble,
      h("div", { class: "wide" }, h("table", { class: "deployments" },
        h("thead", {}, h("tr", {}, ["Id", "Update", "For", "State", "Progress", "Why", "Change"].map((title) => h("th", { scope: "col" }, title)))),
        body), none),
      h("div", { class: "acts" }, make)),
  };
}
