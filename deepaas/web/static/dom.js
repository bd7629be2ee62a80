// Makes elements: h() for HTML, icon() for small pictures, and a few helpers on both.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element; `props` are properties, attributes, or listeners (onclick). */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props ?? {}, children);
}

/** As h(), for a drawing. */
export function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props ?? {}, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "css") setVariables(element, value);
    else if (name === "class") element.setAttribute("class", value);
    else if (typeof value === "boolean" && !name.startsWith("aria-")) {
      if (name in element) element[name] = value;
      else element.toggleAttribute(name, value);
    } else if (name === "value" && name in element) element.value = value;
    else element.setAttribute(name, value);
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

// The style attribute is refused by our Content-Security-Policy; this is not.
function setVariables(element, values) {
  for (const [name, value] of Object.entries(values)) {
    element.style.setProperty(name, value);
  }
}

/** Put these children in place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

let count = 0;

/** Return a new id for an element. */
export function newId(prefix = "id") {
  count += 1;
  return `${prefix}-${count}`;
}

const ICONS = {
  copy: "M9 9h10v11H9z M5 15V4h10",
  down: "M12 4v11 M7 11l5 5 5-5 M5 20h14",
  up: "M12 16V5 M7 9l5-5 5 5 M5 20h14",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.4 1.4 M17.6 17.6L19 19 M5 19l1.4-1.4 M17.6 6.4L19 5",
  moon: "M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z",
  auto: "M12 3a9 9 0 1 0 0 18z M12 3a9 9 0 0 1 0 18",
  key: "M15.5 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z M13 11l-8 8 M7 17l2 2 M10 14l2 2",
  back: "M15 5l-7 7 7 7",
  stop: "M6 6h12v12H6z",
  bell: "M6 17h12l-1.5-2.5V10a4.5 4.5 0 0 0-9 0v4.5z M10.5 20h3",
  link: "M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-6-6l-1 1 M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 6 6l1-1",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8 M12 16.8v.2",
  close: "M6 6l12 12 M18 6L6 18",
};

/** Return a small picture that a screen reader leaves out. */
export function icon(name) {
  const props = { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", props, svg("path", { d: ICONS[name] }));
}

/** Return a button of text, perhaps with a picture before it. */
export function button(label, onclick, props = {}) {
  const { picture, ...rest } = props;
  return h(
    "button",
    { type: "button", onclick, ...rest },
    picture && icon(picture),
    h("span", {}, label),
  );
}

/** Return a button that copies a text and says that it has. */
export function copyButton(label, text, done) {
  const element = button(label, copy, { class: "quiet", picture: "copy" });
  const words = element.lastChild;
  async function copy() {
    await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
    words.textContent = done;
    setTimeout(() => (words.textContent = label), 1500);
  }
  return element;
}

/** Return buttons of which one is pressed, at first the first: {element, choose}. */
export function segmented(labels, onchoose) {
  const buttons = Object.entries(labels).map(([name, label], index) => {
    const props = { type: "button", name, "aria-pressed": String(index === 0), onclick: () => choose(name) };
    return h("button", props, label);
  });
  function choose(name) {
    for (const one of buttons) one.setAttribute("aria-pressed", String(one.name === name));
    onchoose(name);
  }
  return { element: h("div", { class: "segmented", role: "group" }, buttons), choose };
}

/** Return a switch between views, [label, make] each: one view at a time. */
export function switched(views) {
  const place = h("div", { class: "view" });
  const labels = Object.fromEntries(views.map(([label], at) => [at, label]));
  const { element, choose } = segmented(labels, (at) => fill(place, views[at][1]()));
  element.classList.add("views");
  choose("0");
  return h("div", {}, element, place);
}

/** Return a small box to tick with its label: {element, input}. */
export function tickBox(label, onchange, checked = false) {
  const input = h("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
  return { element: h("label", { class: "choice small" }, input, label), input };
}

/** Return a card with a title. */
export const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);

/** Return a frame in which what is wide is scrolled, by the keyboard too. */
export const scroller = (label, ...children) =>
  h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, children);

/** Return a table of rows (tr) under these heads (td or th). */
export const tableOf = (name, heads, rows) =>
  h("table", { class: name }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows));

/** Save a blob under a name, as a link with `download` does. */
export function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Say a text to screen readers, at most one in five seconds; the last one counts. */
export function announce(text) {
  announcement = text;
  if (announcing) return;
  const wait = Math.max(0, lastAnnounced + 5000 - Date.now());
  announcing = setTimeout(() => {
    announcing = null;
    lastAnnounced = Date.now();
    document.getElementById("announcer").textContent = announcement;
  }, wait);
}

let announcement = "";
let announcing = null;
let lastAnnounced = 0;
