// One deployment: its devices as a picture and as a list, with the reason for each.

import { get, path } from "./api.js";
import { STATES, cells, key, word } from "./cells.js";
import { OF_DEPLOYMENTS, actions, state, target } from "./deployments.js";
import { gently, h, number, sync, text, time, version } from "./dom.js";
import { follow } from "./feed.js";
import { List } from "./list.js";

const PAGE = 1000;
/** Single devices are asked for while they are few. */
const FEW = 20;

export function view([id], signal) {
  const url = path`/deployments/${id}`;
  const said = h("p", { id: "deployment-said", role: "status" });
  const trouble = h("p", { class: "bad", role: "alert", hidden: true });
  const why = h("p", { id: "deployment-why" });
  const facts = h("dl", { class: "facts" });
  const badge = h("span", { class: "badge" });
  const legend = key();
  const open = (device) => (location.hash = `#/device/${encodeURIComponent(device)}`);
  const picture = cells(open);
  const only = h("select", { id: "deployment-state" }, h("option", { value: "" }, "any"), STATES.map(([value, , name]) => h("option", { value }, name)));
  const count = h("span", { class: "count", role: "status" });
  const list = new List({
    label: "Devices of the deployment",
    name: "targets",
    columns: ["Device", "State", "Result", "Tries", "Why"].map((title) => ({ title })),
    key: ({ deviceId }) => deviceId,
    draw: ([device, where, result, tries, reason], one, row) => {
      text(device, one.deviceId);
      text(where, one.movedOnToNewDeployment ? `${word(one.deviceState)}, moved on` : word(one.deviceState));
      text(result, [one.resultCode, one.extendedResult].filter((value) => value !== null && value !== undefined).join(" / "));
      text(tries, (one.retryCount ?? 0) + 1);
      text(reason, one.message);
      reason.title = one.message;
      row.dataset.state = one.deviceState;
    },
    open: ({ deviceId }) => open(deviceId),
  });

  let states = new Map();
  let stale = new Set();
  let all = true;
  let cost = 0;

  const draw = (deployment) => {
    const { status } = deployment;
    text(badge, state(deployment));
    text(why, deployment.judgement.message);
    legend.draw(status);
    const devices = [...states.values()];
    picture.draw(devices, status);
    const shown = devices.filter(({ deviceState }) => !only.value || deviceState === only.value);
    list.set(shown, true);
    text(count, `${number(shown.length)} of ${number(devices.length)} devices`);
    buttons.hidden = status.deploymentState !== "Active";
    const policy = deployment.rollbackPolicy;
    const shownFacts = [
      ["Update", version(deployment.update.updateId)],
      ["For", target(deployment)],
      ["Start (UTC)", time(deployment.startDateTime)],
      ["Devices", number(status.totalDevices)],
      ["Rolls back to", policy && `${version(policy.update.updateId)} at ${policy.failure.devicesFailedPercentage} % and ${policy.failure.devicesFailedCount} failed`],
      ["Made by", deployment.isCloudInitiatedRollback ? "a rollback policy" : null],
    ];
    sync(facts, shownFacts.filter(([, value]) => value), ([name]) => name, ([name]) => h("div", {}, h("dt", {}, name), h("dd")),
      (item, [, value]) => text(item.lastChild, value));
  };

  let latest = null;
  const refresh = gently(async () => {
    if (signal.aborted) return;
    const began = performance.now();
    const wanted = stale;
    stale = new Set();
    try {
      latest = await get(url, signal);
      // Whoever joins the group, and whoever leaves, changes the count.
      if (all || wanted.size > FEW || latest.status.totalDevices !== states.size || latest.status.deploymentState !== "Active") {
        all = false;
        const found = new Map();
        for (let after = ""; ;) {
          const page = await get(`${url}/devices?${new URLSearchParams({ limit: PAGE, after })}`, signal);
          for (const one of page) found.set(one.deviceId, one);
          if (page.length < PAGE) break;
          after = page.at(-1).deviceId;
        }
        states = found;
      } else {
        const known = [...wanted].filter((device) => states.has(device));
        for (const one of await Promise.all(known.map((device) => get(`${url}/devices/${encodeURIComponent(device)}`, signal)))) states.set(one.deviceId, one);
      }
      draw(latest);
      trouble.hidden = true;
    } catch (error) {
      all = true;
      if (signal.aborted) return;
      trouble.hidden = false;
      text(trouble, error.message);
    }
    cost = performance.now() - began;
  }, () => Math.max(150, 5 * cost));
  const buttons = actions(() => id, (sentence, bad) => {
    all = true;
    refresh();
    said.className = bad ? "bad" : "";
    text(said, sentence);
  });

  only.addEventListener("change", () => latest && draw(latest));
  follow((news) => {
    if (news === null) all = true;
    for (const { kind, device } of news ?? []) if (device !== undefined && OF_DEPLOYMENTS.has(kind)) stale.add(device);
    if (all || stale.size) refresh();
  }, signal);
  const timer = setInterval(() => {
    if (document.hidden) return;
    all = true;
    refresh();
  }, 10000);
  signal.addEventListener("abort", () => clearInterval(timer));
  refresh();

  return {
    title: `Deployment ${id}`,
    element: h("section", {},
      h("h2", { tabindex: "-1" }, "Deployment ", h("span", { class: "id" }, id), " ", badge),
      said, trouble, why, facts, buttons, legend.element, picture.element,
      h("div", { class: "bar" }, h("label", {}, "State ", only), count),
      list.element),
  };
}
