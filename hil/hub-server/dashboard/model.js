// The devices of the hub, kept up to date by its log.

import { get, path } from "./api.js";
import { follow } from "./feed.js";
import { gently } from "./dom.js";

/** Devices by id. */
export let devices = new Map();

/** Whether the list has been read once. */
export let known = false;

const watchers = new Set();
let stale = new Set();
let all = true;
let cost = 0;

/** Calls `watcher` after devices have changed. */
export function watch(watcher, signal) {
  watchers.add(watcher);
  signal?.addEventListener("abort", () => watchers.delete(watcher));
}

const tell = () => {
  for (const watcher of [...watchers]) watcher();
};

/** The hub writes its states with capitals and "never" as the year 1. */
function taken(device) {
  const never = (at) => (at?.startsWith("0001") ? null : at);
  return {
    ...device,
    connectionState: device.connectionState.toLowerCase(),
    lastActivityTime: never(device.lastActivityTime),
    connectionStateUpdatedTime: never(device.connectionStateUpdatedTime),
  };
}

const PAGE = 1000;

async function list() {
  const found = new Map();
  for (let after = ""; ;) {
    const page = await get(`/devices?${new URLSearchParams({ limit: PAGE, after })}`);
    for (const device of page) found.set(device.deviceId, taken(device));
    if (page.length !== PAGE || page.at(-1).deviceId === after) return found;
    after = page.at(-1).deviceId;
  }
}

/** Single devices are asked for while they are few. */
const FEW = 20;

// The more a list costs the hub and this page, the less often it is read.
const refresh = gently(async () => {
  const began = performance.now();
  const wanted = stale;
  stale = new Set();
  try {
    if (all || wanted.size > FEW) {
      all = false;
      devices = await list();
      known = true;
      cost = performance.now() - began;
    } else {
      const one = async (id) => [id, await get(path`/devices/${id}`).then(taken).catch((refusal) => (refusal.status === 404 ? null : devices.get(id)))];
      for (const [id, device] of await Promise.all([...wanted].map(one))) {
        if (device) devices.set(id, device);
        else devices.delete(id);
      }
    }
    tell();
  } catch {
    // The feed says that the hub is away, and asks for everything when it is back.
    all = true;
  }
}, () => Math.max(200, 10 * cost));

/** Reads a device again. */
export function touch(id) {
  stale.add(id);
  refresh();
}

/** Reads all devices again. */
export function touchAll() {
  all = true;
  refresh();
}

/** What a device does, not what is done to it. */
const OF_DEVICE = new Set(["connected", "subscribed", "twinRead", "reported", "telemetry", "methodAnswered", "acknowledged"]);

/** What a log line says about a device that the list can take over as it is; false if the hub has to be asked. */
function apply(line) {
  const device = devices.get(line.device);
  if (!device) return line.kind.startsWith("dps") && line.kind !== "dpsAssigned";
  if (OF_DEVICE.has(line.kind)) device.lastActivityTime = line.at;
  if (line.kind === "reported") {
    const agent = line.event.patch?.deviceUpdate?.agent;
    if (agent && "installedUpdateId" in agent) device.installedUpdateId = agent.installedUpdateId;
  }
  // An evicted connection ends after its successor began: the hub knows which of them counts.
  return !["connected", "disconnected", "deploymentChanged", "dpsAssigned"].includes(line.kind);
}

export function start() {
  follow((news) => {
    if (news === null) return touchAll();
    for (const line of news) {
      if (line.device !== undefined && !apply(line)) stale.add(line.device);
    }
    if (stale.size) refresh();
    tell();
  });
  // Tags and new devices make no line.
  setInterval(() => document.hidden || touchAll(), 30000);
}
