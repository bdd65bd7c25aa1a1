// Requests to the hub, and the token that changes may need.

/** A request that was refused: what the hub said. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const KEY = "hub-token";

/** A path with each value escaped: path`/devices/${id}`. */
export const path = (parts, ...values) =>
  parts.reduce((whole, part, index) => whole + encodeURIComponent(values[index - 1]) + part);

async function request(method, url, body, signal) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const token = sessionStorage.getItem(KEY);
  if (token && method !== "GET") headers.Authorization = `Bearer ${token}`;
  return fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
}

let asking = null;

/** Asks for the token; those who ask at the same time share the dialog. Yields whether there is one to try. */
function ask(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const field = document.getElementById("token-text");
    const why = "Changes need the token that the hub printed when it started.";
    document.getElementById("token-why").textContent = wrong ? `That token is not the hub's. ${why}` : why;
    field.value = "";
    dialog.returnValue = "cancel";
    dialog.addEventListener("close", () => {
      asking = null;
      const use = dialog.returnValue === "use" && field.value !== "";
      if (use) sessionStorage.setItem(KEY, field.value);
      field.value = "";
      resolve(use);
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Calls the API; yields what it answers. Throws a Refusal with the hub's own sentence. */
export async function call(method, url, body, signal) {
  for (;;) {
    let response;
    const tried = sessionStorage.getItem(KEY);
    try {
      response = await request(method, url, body, signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, "Unreachable", "the hub does not answer; is it running?");
    }
    if (response.status === 401) {
      // Another request may have been given a better token in the meantime.
      if (sessionStorage.getItem(KEY) !== tried || (await ask(Boolean(tried)))) continue;
    }
    const answer = await response.text();
    let value = null;
    try {
      value = answer ? JSON.parse(answer) : null;
    } catch {
      value = { message: answer };
    }
    if (response.ok) return value;
    throw new Refusal(response.status, value?.code ?? "", value?.message ?? `the hub answers ${response.status}`);
  }
}

export const get = (url, signal) => call("GET", url, undefined, signal);
