// Shows pictures, sound and video, and knows them by their first bytes.

import { h } from "./dom.js";
import { M } from "./messages.js";

// The beginning of base64 text of files that a browser shows.
const MAGIC = [
  ["iVBORw0KGgo", "image/png"],
  ["/9j/", "image/jpeg"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "riff"],
  ["T2dnUw", "audio/ogg"],
  ["SUQz", "audio/mpeg"],
  ["//uQ", "audio/mpeg"],
  ["JVBERi0", "application/pdf"],
  ["AAAAIGZ0eX", "video/mp4"],
  ["AAAAHGZ0eX", "video/mp4"],
  ["AAAAGGZ0eX", "video/mp4"],
  ["GkXfo", "video/webm"],
];

const DATA = /^data:([\w.+-]+\/[\w.+-]+)(?:;[\w=.-]+)*;base64,/;

/** Return the media type that a text holds as base64 or as a data: address, or null. */
export function mediaTypeOf(text) {
  if (text.length < 40) return null;
  const data = DATA.exec(text.slice(0, 200));
  if (data) return data[1];
  const found = MAGIC.find(([start]) => text.startsWith(start));
  if (!found || !/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(text)) return null;
  if (found[1] !== "riff") return found[1];
  return atob(text.slice(0, 16)).includes("WEBP") ? "image/webp" : "audio/wav";
}

/** Return the bytes of such a text as a blob. */
export function mediaBlob(text, type) {
  const base64 = text.startsWith("data:") ? text.slice(text.indexOf(",") + 1) : text;
  const bytes = Uint8Array.from(atob(base64.replace(/\s/g, "")), (c) => c.charCodeAt(0));
  return new Blob([bytes], { type });
}

const held = new WeakMap();

/** Return the blob: address of a blob; it is revoked when the blob is forgotten. */
export function blobAddress(blob) {
  if (!held.has(blob)) {
    const url = URL.createObjectURL(blob);
    held.set(blob, url);
    registry.register(blob, url);
  }
  return held.get(blob);
}

const registry = new FinalizationRegistry((url) => URL.revokeObjectURL(url));

/** Tell whether a type is shown in place. */
export const isMedia = (type) => /^(image|audio|video)\//.test(type);

/** Return the element that shows a blob of a picture, sound or video. */
export function mediaElement(blob, alt) {
  const src = blobAddress(blob);
  const kind = blob.type.split("/")[0];
  // The element holds its blob, or the address might be revoked too early.
  if (kind === "image") return Object.assign(h("img", { src, alt }), { blob });
  const player = h(kind, { src, controls: true, "aria-label": alt });
  player.blob = blob;
  player.addEventListener("error", () => player.replaceWith(h("p", { class: "help" }, M.cannotPlay)));
  return player;
}

/** Return a small preview of a file, or null where there is none. */
export function preview(file) {
  if (file.type.startsWith("image/")) {
    const picture = h("img", { class: "thumb", src: blobAddress(file), alt: "" });
    picture.addEventListener("error", () => picture.remove());
    return picture;
  }
  if (isMedia(file.type)) return h("div", { class: "preview" }, mediaElement(file, file.name));
  if (/^text\/|json|csv|xml/.test(file.type)) {
    const text = h("pre", { class: "preview", tabindex: "0" });
    file.slice(0, 2048).text().then((start) => (text.textContent = start));
    return text;
  }
  return null;
}
