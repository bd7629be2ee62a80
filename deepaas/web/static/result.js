// Shows an answer by its media type.

import { lines, events, pieces } from "./api.js";
import { button, copyButton, download, fill, h, switched, tickBox } from "./dom.js";
import { tree } from "./json.js";
import { blobAddress, isMedia, mediaElement } from "./media.js";
import { M, size } from "./messages.js";
import { asTable, parseCsv, table } from "./table.js";

/** Bytes of text or JSON that are shown whole. */
const MAX_TEXT_BYTES = 1024 * 1024;

const MAX_HEAD_BYTES = 64 * 1024;

/** Items of a stream that stay on the page. */
const MAX_ITEMS = 200;

const STREAMS = ["application/x-ndjson", "application/jsonl", "text/event-stream"];

const EXTENSIONS = {
  "application/json": "json",
  "application/x-ndjson": "ndjson",
  "application/pdf": "pdf",
  "application/zip": "zip",
  "image/svg+xml": "svg",
  "text/plain": "txt",
};

/** Return the media type of an answer, without parameters. */
export const typeOf = (response) =>
  (response.headers.get("Content-Type") ?? "application/octet-stream").split(";")[0].trim().toLowerCase();

/** Tell whether an answer is a stream of items. */
export const isStream = (response) => STREAMS.includes(typeOf(response));

/** Return the name to save an answer under. */
export function nameOf(response, fallback) {
  const given = response.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(given)?.[1];
  const plain = /filename="([^"]*)"/i.exec(given)?.[1];
  if (encoded || plain) return encoded ? decodeURIComponent(encoded) : plain;
  const type = typeOf(response);
  const extension = EXTENSIONS[type] ?? type.split("/")[1]?.replace(/^x-|\+.*$/g, "") ?? "bin";
  return `${fallback}.${extension}`;
}

/** Return the element that shows a whole answer; `input` is a picture it is about. */
export async function showAnswer(blob, name, alt, input = null) {
  const type = blob.type.split(";")[0];
  if (blob.size === 0) return h("p", { class: "help" }, M.emptyAnswer);
  if (type === "application/json" || type.endsWith("+json")) return showJson(blob);
  if (type.startsWith("image/") && type !== "image/tiff") return showPicture(blob, alt, input);
  if (isMedia(type)) return mediaElement(blob, alt);
  if (STREAMS.includes(type)) return showText(blob);
  if (type === "text/csv" || type === "text/tab-separated-values") return showCsv(blob, type);
  if (type.startsWith("text/") || /(json|xml|yaml)$/.test(type)) return showText(blob);
  if (type === "application/pdf") return showPdf(blob);
  return showBytes(blob, name);
}

function showPicture(blob, alt, input) {
  const picture = mediaElement(blob, alt);
  const frame = h("div", { class: "picture", tabindex: "0" }, picture);
  const toggle = h("button", { type: "button", class: "small-button", "aria-pressed": "false", onclick: full }, M.full);
  function full() {
    const on = frame.classList.toggle("full");
    toggle.setAttribute("aria-pressed", String(on));
  }
  const bad = () => showBytes(blob, "image").then((element) => frame.replaceWith(element));
  picture.addEventListener("error", bad);
  const before = input && h("figure", {}, h("figcaption", {}, M.input), mediaElement(input, M.inputPicture));
  const after = h("figure", {}, before && h("figcaption", {}, M.output), frame);
  return h("div", { class: "picture-view" }, h("div", { class: before ? "pair" : "" }, before, after), toggle);
}

async function showJson(blob) {
  if (blob.size > MAX_TEXT_BYTES) {
    return h("div", {}, h("p", { class: "help" }, M.largeJson(blob.size)), await head(blob));
  }
  const text = await blob.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return textView(text);
  }
  return viewsOf(unwrapped(value), text);
}

/** Take a string answer out of the envelope that the server puts around it. */
export function unwrapped(value) {
  const keys = value && typeof value === "object" ? Object.keys(value).sort().join() : "";
  if (keys !== "predictions,status" || typeof value.predictions !== "string") return value;
  try {
    return JSON.parse(value.predictions);
  } catch {
    return value.predictions;
  }
}

function viewsOf(value, text) {
  const bars = asBars(value);
  const rows = asTable(value);
  const views = [];
  if (bars) views.push([M.chart, () => showBars(bars)]);
  if (typeof value === "string") {
    const view = tree(value);
    if (view.querySelector(".media")) return view;
    return textView(value);
  }
  if (rows) views.push([M.table, () => table(rows.columns, rows.rows)]);
  views.push([M.tree, () => tree(value)]);
  views.push([M.text, () => textView(JSON.stringify(value, null, 2) ?? text)]);
  return switched(views);
}

/** Return [label, probability] pairs of an answer of a classifier, best first; or null. */
export function asBars(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const entries = Object.entries(value);
  const found = entries.find(([name, one]) => /prob|score|confid|predictions/i.test(name) && isShares(one));
  if (!found) return null;
  const [name, shares] = found;
  const named = (one) => Array.isArray(one) && one.length === shares.length && one.every((x) => typeof x !== "object");
  const labels = entries.find(([key, one]) => key !== name && /label|class|name|categor/i.test(key) && named(one));
  const pairs = Array.isArray(shares)
    ? shares.map((share, index) => [String(labels ? labels[1][index] : index), share])
    : Object.entries(shares);
  return pairs.sort((a, b) => b[1] - a[1]);
}

function isShares(value) {
  const numbers = value && typeof value === "object" ? Object.values(value) : [];
  return numbers.length > 1 && numbers.every((one) => typeof one === "number" && one >= 0 && one <= 1);
}

/** Shares that are drawn. */
const TOP = 10;

function showBars(pairs) {
  const top = pairs.slice(0, TOP);
  const rows = top.map(([label, share], index) => [
    h("dt", { class: index ? "" : "best" }, label),
    h(
      "dd",
      { class: index ? "" : "best" },
      h("span", { class: "track" }, h("span", { class: "bar", css: { "--share": share } })),
      h("span", { class: "number" }, `${(share * 100).toFixed(1)} %`),
    ),
  ]);
  const rest = pairs.length - top.length;
  const best = h("p", { class: "best-label" }, h("strong", {}, top[0][0]), h("span", { class: "help" }, `${(top[0][1] * 100).toFixed(1)} %`));
  return h("div", {}, best, h("dl", { class: "bars" }, rows), rest > 0 ? h("p", { class: "help" }, M.others(rest)) : null);
}

async function showCsv(blob, type) {
  const text = await blob.slice(0, MAX_TEXT_BYTES).text();
  const [columns = [], ...rows] = parseCsv(text, type === "text/csv" ? "," : "\t");
  const view = () => table(columns, rows);
  return switched([[M.table, view], [M.text, () => textView(text)]]);
}

async function showText(blob) {
  if (blob.size <= MAX_TEXT_BYTES) return textView(await blob.text());
  return h("div", {}, h("p", { class: "help" }, M.largeJson(blob.size)), await head(blob));
}

async function head(blob) {
  return textView(await blob.slice(0, MAX_HEAD_BYTES).text());
}

/** Return text as it is, with a switch for its long lines. */
function textView(text) {
  const pre = h("pre", { class: "text wrap", tabindex: "0" }, text);
  const wrap = tickBox(M.wrap, (on) => pre.classList.toggle("wrap", on), true);
  const long = text.split("\n").some((line) => line.length > 80);
  return h("div", {}, pre, long && wrap.element);
}

function showPdf(blob) {
  const open = h("a", { href: blobAddress(blob), target: "_blank", rel: "noopener noreferrer", class: "button" }, M.open);
  open.blob = blob;
  return h("p", {}, open);
}

async function showBytes(blob, name) {
  const bytes = new Uint8Array(await blob.slice(0, 256).arrayBuffer());
  const rows = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.slice(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return h(
    "div",
    { class: "file-answer" },
    h("p", {}, h("strong", {}, name), ` · ${blob.type} · ${size(blob.size)}`),
    h("details", {}, h("summary", {}, M.firstBytes), h("pre", { class: "text", tabindex: "0" }, rows.join("\n"))),
  );
}

/** Show the items of a stream as they come; returns the whole of it as a blob. */
export async function showStream(response, place) {
  const type = typeOf(response);
  const parts = [];
  const kept = async function* kept() {
    for await (const piece of pieces(response, Infinity)) {
      parts.push(piece);
      yield piece;
    }
  };
  const count = h("p", { class: "help" });
  const list = h("ol", { class: "items" });
  fill(place, count, list);
  let seen = 0;
  let waiting = [];
  let drawing = null;
  function draw() {
    drawing = null;
    const fresh = waiting.slice(-MAX_ITEMS);
    waiting = [];
    list.append(...fresh.map((one) => h("li", {}, itemView(one))));
    while (list.children.length > MAX_ITEMS) list.firstChild.remove();
    count.textContent = M.items(seen) + (seen > MAX_ITEMS ? ` · ${M.itemsDropped(MAX_ITEMS)}` : "");
  }
  function add(one) {
    seen += 1;
    waiting.push(one);
    if (waiting.length > MAX_ITEMS) waiting.shift();
    drawing ??= setTimeout(draw, 100);
  }
  let last = null;
  try {
    if (type === "text/event-stream") {
      for await (const event of events(kept())) {
        last = event;
        if (event.event !== "error") add(event.data);
      }
    } else {
      for await (const line of lines(kept())) {
        if (!line) continue;
        last = { data: line };
        add(line);
      }
    }
  } finally {
    clearTimeout(drawing);
    draw();
  }
  const failed = failureOf(type, last);
  if (failed) {
    if (type !== "text/event-stream") list.lastChild?.remove();
    place.append(h("p", { class: "alert", role: "alert" }, M.streamFailed(failed)));
  }
  return new Blob(parts, { type });
}

// The last line of a stream that failed has a message and nothing else.
function failureOf(type, last) {
  if (!last || (type === "text/event-stream" && last.event !== "error")) return null;
  try {
    const value = JSON.parse(last.data);
    return Object.keys(value).join() === "message" ? String(value.message) : null;
  } catch {
    return null;
  }
}

function itemView(text) {
  try {
    return tree(JSON.parse(text));
  } catch {
    return h("pre", { class: "text wrap" }, text);
  }
}

/** Return the buttons that save and copy an answer. */
export function answerActions(blob, name) {
  const textual = /^text\/|json|xml/.test(blob.type) && blob.size <= MAX_TEXT_BYTES;
  let text = "";
  if (textual) blob.text().then((found) => (text = found));
  return h(
    "div",
    { class: "actions" },
    textual ? copyButton(M.copy, () => text, M.copied) : null,
    button(M.download, () => download(blob, name), { class: "quiet", picture: "down" }),
  );
}

