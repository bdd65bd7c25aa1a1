// Which view is shown, and what is around it.

import * as deployment from "./deployment.js";
import * as deployments from "./deployments.js";
import * as device from "./device.js";
import * as devicesView from "./devices.js";
import { gently, h, number, say, text } from "./dom.js";
import * as feed from "./feed.js";
import * as log from "./log.js";
import * as model from "./model.js";

const VIEWS = { devices: devicesView, device, deployments, deployment, log };
/** Which entry of the menu stands for a view of one thing. */
const MENU = { device: "devices", deployment: "deployments" };

const main = document.getElementById("main");
let current = null;

function show(first) {
  let [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  if (!(name in VIEWS)) [name, rest] = ["devices", []];
  current?.abort();
  current = new AbortController();
  say("");
  let view;
  try {
    view = VIEWS[name].view(rest.map(decodeURIComponent), current.signal);
  } catch (error) {
    view = { title: "Not found", element: h("h2", { tabindex: "-1" }, `This page cannot be shown: ${error.message}`) };
  }
  document.title = `${view.title} - hil hub`;
  main.replaceChildren(view.element);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${MENU[name] ?? name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // A reader hears where it has come to; a page that has just opened leaves the focus at its top.
  if (!first) main.querySelector("h2")?.focus();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => show(false));

const about = document.getElementById("hub");
model.watch(gently(() => {
  let connected = 0;
  for (const { connectionState } of model.devices.values()) if (connectionState === "connected") connected += 1;
  text(about, `${number(connected)} of ${number(model.devices.size)} devices connected`);
}, () => 500));

model.start();
show(true);
feed.start();
