// Shows JSON as a tree that is built as it is opened.

import { button, h } from "./dom.js";
import { isMedia, mediaBlob, mediaElement, mediaTypeOf } from "./media.js";
import { M } from "./messages.js";

/** Items of a level that are shown at once. */
const PAGE = 100;

const SHORT = 300;

/** Return the tree of a value. */
export function tree(value) {
  const top = h("div", { class: "tree" });
  top.append(...entries(value, true));
  return top;
}

function entries(value, open) {
  if (typeof value !== "object" || value === null) return [leaf(value)];
  return [branch(null, value, open)];
}

function node(key, value) {
  if (typeof value === "object" && value !== null) return branch(key, value, false);
  return h("div", { class: "leaf" }, name(key), leaf(value));
}

const name = (key) => (key === null ? null : [h("span", { class: "key" }, String(key)), ": "]);

function branch(key, value, open) {
  const list = Array.isArray(value);
  const keys = list ? value.keys() : Object.keys(value);
  const size = list ? value.length : keys.length;
  const hint = list ? `[${size}]` : `{${size}}`;
  const short = size <= 8 ? JSON.stringify(value)?.slice(0, 81) ?? "" : "";
  const inner = h("div", { class: "level" });
  const details = h(
    "details",
    { open: false },
    h("summary", {}, name(key), h("span", { class: "hint" }, hint), short.length && short.length <= 80 ? h("span", { class: "short" }, ` ${short}`) : null),
    inner,
  );
  const all = [...keys];
  let next = 0;
  function more() {
    const page = all.slice(next, next + PAGE);
    next += page.length;
    inner.append(...page.map((one) => node(one, value[one])));
    const left = all.length - next;
    if (!left) return;
    const show = button(M.moreItems(left), () => {
      show.remove();
      more();
    }, { class: "quiet" });
    inner.append(show);
  }
  const build = () => {
    if (next === 0 && size) more();
  };
  details.addEventListener("toggle", build);
  if (open) {
    details.open = true;
    build();
  }
  return details;
}

function leaf(value) {
  if (typeof value !== "string") {
    return h("span", { class: `value ${value === null ? "null" : typeof value}` }, String(value));
  }
  const type = mediaTypeOf(value);
  if (type && isMedia(type)) return h("span", { class: "media" }, mediaElement(mediaBlob(value, type), M.result));
  if (value.length <= SHORT) return h("span", { class: "value string" }, JSON.stringify(value));
  const text = h("span", { class: "value string" }, JSON.stringify(`${value.slice(0, SHORT)}…`));
  const show = button(M.moreItems(value.length - SHORT), () => {
    text.textContent = JSON.stringify(value);
    show.remove();
  }, { class: "quiet" });
  return h("span", {}, text, show);
}
