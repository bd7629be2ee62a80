// Shows a log that grows: colours, overwritten lines, a filter; sticks to its end.

import { button, fill, h, newId, tickBox } from "./dom.js";
import { M } from "./messages.js";

/** Lines in a block; the browser lays out only blocks in sight. */
const BLOCK = 200;

/** Lines that are kept on the page. */
const MAX_LINES = 20_000;

// The sequences that a terminal obeys; of those, only colours and boldness are shown.
const ESCAPES = /\x1b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;

/** Return what stays of a line in which "\r" goes back to its start. */
export function overwritten(line) {
  if (!line.includes("\r")) return line;
  let shown = "";
  for (const part of line.split("\r")) {
    // Colours have no width, so such lines are replaced whole.
    const plain = !part.includes("\x1b") && !shown.includes("\x1b");
    if (part) shown = plain ? part + shown.slice(part.length) : part;
  }
  return shown;
}

/** Return a line as [{text, style}]: style is a list of classes, from SGR sequences. */
export function styled(line, state = new Set()) {
  const runs = [];
  let at = 0;
  const push = (text) => text && runs.push({ text, style: [...state] });
  for (const match of line.matchAll(ESCAPES)) {
    push(line.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === "m") apply(match[1], state);
  }
  push(line.slice(at).replaceAll("\x1b", ""));
  return runs;
}

function apply(parameters, state) {
  const codes = (parameters || "0").split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) state.clear();
    else if (code === 1) state.add("bold");
    else if (code === 22) state.delete("bold");
    else if (code === 38 || code === 48) at += codes[at + 1] === 2 ? 4 : 2;
    else if (code === 39) clearColour(state);
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      clearColour(state);
      state.add(`sgr-${code % 10}`);
    }
  }
}

function clearColour(state) {
  for (const name of [...state]) if (name.startsWith("sgr-")) state.delete(name);
}

/** Return the view of a log: {element, add, end}. */
export function logView({ onDownload }) {
  const id = newId("f");
  const box = h("pre", { class: "log wrap", tabindex: "0", role: "log", "aria-live": "off", "aria-label": M.log });
  const jump = button("", toEnd, { class: "jump", hidden: true, picture: "down" });
  const note = h("p", { class: "help", hidden: true });
  const filter = h("input", { id, type: "search", placeholder: M.filter, "aria-label": M.filter, oninput: applyFilter });
  const matches = h("span", { class: "help", role: "status" });
  const wrap = tickBox(M.wrap, (on) => box.classList.toggle("wrap", on), true);
  const tools = h(
    "div",
    { class: "tools" },
    filter,
    matches,
    wrap.element,
    button(M.download, onDownload, { class: "quiet", picture: "down" }),
  );
  const empty = h("p", { class: "help" }, M.emptyLog);
  const element = h("div", { class: "log-view" }, tools, note, h("div", { class: "log-frame" }, box, jump), empty);
  box.hidden = true;
  const state = new Set();
  let block = null;
  let count = 0;
  let fresh = 0;
  let open = null;
  let rest = "";
  let waiting = "";
  let frame = null;

  box.addEventListener("scroll", () => {
    if (atEnd()) showFresh(0);
  });

  const atEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 24;

  function toEnd() {
    box.scrollTop = box.scrollHeight;
    showFresh(0);
  }

  function showFresh(number) {
    fresh = number;
    jump.hidden = fresh === 0;
    jump.lastChild.textContent = M.newLines(fresh);
  }

  function add(text) {
    waiting += text;
    frame ??= setTimeout(draw, 60);
  }

  function draw() {
    frame = null;
    const stick = atEnd();
    const before = count;
    const parts = (rest + waiting).split("\n");
    rest = parts.pop();
    waiting = "";
    open?.remove();
    open = null;
    for (const line of parts.slice(-MAX_LINES)) append(line);
    if (rest) open = append(rest, true);
    while (box.children.length > MAX_LINES / BLOCK + 1) {
      box.firstChild.remove();
      note.hidden = false;
      note.textContent = M.logTail(MAX_LINES);
    }
    box.hidden = count === 0 && !rest;
    empty.hidden = !box.hidden;
    if (stick) box.scrollTop = box.scrollHeight;
    else showFresh(fresh + count - before);
    if (filter.value) applyFilter();
  }

  // A line without its end is drawn too, and drawn again when there is more of it.
  function append(line, unfinished = false) {
    if (!block || block.children.length >= BLOCK) {
      block = h("div", { class: "block" });
      box.append(block);
    }
    const ended = line.endsWith("\r") ? line.slice(0, -1) : line;
    const look = unfinished ? new Set(state) : state;
    const runs = styled(overwritten(ended), look).map(({ text, style }) =>
      style.length ? h("span", { class: style.join(" ") }, text) : text,
    );
    const made = h("div", { class: "line" }, runs, "\n");
    block.append(made);
    if (!unfinished) count += 1;
    return made;
  }

  function applyFilter() {
    const wanted = filter.value.toLowerCase();
    let found = 0;
    for (const line of box.querySelectorAll(".line")) {
      const fits = !wanted || line.textContent.toLowerCase().includes(wanted);
      line.hidden = !fits;
      if (fits) found += 1;
    }
    fill(matches, wanted ? M.matches(found) : "");
  }

  return { element, add, count: () => count };
}
