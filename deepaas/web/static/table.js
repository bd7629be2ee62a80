// Shows rows as a table that can be sorted, and reads CSV.

import { h, scroller } from "./dom.js";
import { M, num } from "./messages.js";

/** Rows that are shown at most. */
const ROWS = 500;

/** Return a table of these columns and rows. */
export function table(columns, rows) {
  let shown = rows;
  let sorted = null;
  let down = false;
  const body = h("tbody");
  const heads = columns.map((column, index) =>
    h("th", { scope: "col" }, h("button", { type: "button", class: "sort", onclick: () => sort(index) }, column)),
  );
  function sort(index) {
    down = sorted === index ? !down : false;
    sorted = index;
    const sign = down ? -1 : 1;
    shown = [...rows].sort((a, b) => sign * compare(a[index], b[index]));
    heads.forEach((head, at) => {
      if (at === index) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    draw();
  }
  function draw() {
    body.replaceChildren(...shown.slice(0, ROWS).map((row) => h("tr", {}, columns.map((_, i) => cell(row[i])))));
  }
  draw();
  const count = rows.length > ROWS ? h("p", { class: "help" }, M.tableRows(ROWS, rows.length)) : null;
  const element = h("table", {}, h("thead", {}, h("tr", {}, heads)), body);
  return h("div", {}, scroller(M.table, element), count);
}

function cell(value) {
  if (typeof value === "number") return h("td", { class: "number" }, num(value));
  if (value === null || value === undefined) return h("td", { class: "null" }, "–");
  return h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value));
}

function compare(a, b) {
  const [x, y] = [Number(a), Number(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true });
}

/** Read CSV or TSV text (RFC 4180). */
export function parseCsv(text, separator = ",") {
  const rows = [];
  let row = [];
  let field = "";
  let quoted = false;
  const endField = () => {
    row.push(field);
    field = "";
  };
  const endRow = () => {
    endField();
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[at + 1] === '"') field += text[(at += 1)];
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === separator) endField();
    else if (c === "\n") endRow();
    else if (c !== "\r") field += c;
  }
  if (field !== "" || row.length) endRow();
  return rows;
}

/** Return {columns, rows} of JSON that is a table, or null. */
export function asTable(value) {
  if (Array.isArray(value)) {
    if (value.length < 2 || !value.every(isFlat)) return null;
    const columns = [...new Set(value.slice(0, ROWS).flatMap(Object.keys))];
    return { columns, rows: value.map((one) => columns.map((column) => one[column])) };
  }
  if (typeof value !== "object" || value === null) return null;
  const lists = Object.entries(value);
  const length = lists[0]?.[1]?.length;
  const even = lists.every(([, one]) => Array.isArray(one) && one.length === length && one.every(isSimple));
  if (!even || lists.length < 2 || length < 2) return null;
  const rows = Array.from({ length }, (_, index) => lists.map(([, one]) => one[index]));
  return { columns: lists.map(([name]) => name), rows };
}

const isSimple = (value) => typeof value !== "object" || value === null;

const isFlat = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isSimple);
