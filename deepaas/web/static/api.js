// Calls the server: addresses, the token, errors, and answers that are streams.

import { M } from "./messages.js";
import { keep, kept } from "./storage.js";

const KEY = "deepaas-token";

/** Seconds without a byte after which a stream counts as lost; the server sends
 * something every 15. */
const SILENCE = 40;

/** The address that all routes begin with: the page is at `ui/` below it. */
export const root = new URL("..", location.href.split(/[?#]/)[0]);

/** Return the address of a path such as `v2/models/`. */
export const address = (path) => new URL(path, root).href;

/** An answer that is an error, or no answer at all (status 0). */
export class CallError extends Error {
  constructor(status, message, { body, requestId, retryAfter } = {}) {
    super(message);
    Object.assign(this, { status, body, requestId, retryAfter });
  }
}

let token = kept(KEY) ?? "";
let ask = async () => null;
let asking = null;

/** Use a token from now on; `remember` keeps it until the tab is closed. */
export function setToken(value, remember) {
  token = value;
  keep(KEY, (remember && value) || null);
}

export const hasToken = () => token !== "";

/** Set the function that asks a person for a token: true if there is a new one. */
export function setAsker(asker) {
  ask = asker;
}

function askOnce(wrong) {
  asking ??= ask(wrong).finally(() => (asking = null));
  return asking;
}

function headersOf(headers) {
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

/** Call a path; asks for a token where one is needed. Raises CallError unless 2xx. */
export async function request(path, options = {}) {
  for (;;) {
    const used = token;
    const response = await send(path, options);
    if (response.status === 401 && (token !== used || (await askOnce(used !== "")))) {
      continue;
    }
    if (response.ok) return response;
    throw await failure(response);
  }
}

async function send(path, { onUpload, headers = {}, ...options }) {
  const url = address(path);
  const all = { ...options, headers: headersOf(headers) };
  try {
    if (onUpload) return await upload(url, all, onUpload);
    return await fetch(url, { cache: "no-store", referrerPolicy: "no-referrer", ...all });
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new CallError(0, `${M.noConnection} (${error.message})`);
  }
}

// fetch() does not say how much of a body has been sent.
function upload(url, { method, headers, body, signal }, onUpload) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, url);
    call.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) {
      call.setRequestHeader(name, value);
    }
    call.upload.onprogress = (event) => onUpload(event.loaded, event.total);
    call.onload = () => resolve(asResponse(call));
    call.onerror = () => reject(new TypeError(M.sendingFailed));
    call.onabort = () => reject(signal.reason);
    signal?.addEventListener("abort", () => call.abort());
    call.send(body);
  });
}

function asResponse(call) {
  const headers = new Headers();
  for (const line of call.getAllResponseHeaders().trim().split(/[\r\n]+/)) {
    const [name, ...rest] = line.split(":");
    if (rest.length) headers.append(name.trim(), rest.join(":").trim());
  }
  const empty = call.status === 204 || call.status === 304;
  return new Response(empty ? null : call.response, { status: call.status, headers });
}

/** Make the error that an answer stands for. */
async function failure(response) {
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // a proxy's page, for example
  }
  const message = body?.message ?? M.status(response.status);
  return new CallError(response.status, message, {
    body,
    requestId: response.headers.get("X-Request-ID"),
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}

/** Call a path and return the JSON of its answer. */
export async function getJson(path, options) {
  return (await request(path, options)).json();
}

/** Give the pieces of a stream; raises CallError when nothing comes for too long. */
export async function* pieces(response, silence = SILENCE) {
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), silence);
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function inTime(promise, seconds) {
  if (!Number.isFinite(seconds)) return promise;
  return new Promise((resolve, reject) => {
    const lost = () => reject(new CallError(0, M.noConnection));
    const timer = setTimeout(lost, seconds * 1000);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Give the lines of a stream of bytes; the last one needs no end. */
export async function* lines(chunks) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const found = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = found.pop();
    for (const line of found) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest) yield rest;
}

/** Give Server-Sent Events as {event, data}. */
export async function* events(chunks) {
  let event = "message";
  let data = [];
  for await (const line of lines(chunks)) {
    if (line === "") {
      if (data.length) yield { event, data: data.join("\n") };
      event = "message";
      data = [];
    } else if (!line.startsWith(":")) {
      const [name, ...rest] = line.split(":");
      const value = rest.join(":").replace(/^ /, "");
      if (name === "data") data.push(value);
      if (name === "event") event = value;
    }
  }
}
