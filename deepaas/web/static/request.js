// Turns the values of a form into one request, which is sent or shown as code.

import { M, size } from "./messages.js";

const FORM = "multipart/form-data";
const JSON_TYPE = "application/json";

/** Marks an argument that is not sent. */
export const ABSENT = Symbol("absent");

/** A value that does not fit, in words. */
export class Bad extends Error {}

/** Values that do not fit: messages by the argument's name. */
export class BadValues extends Error {
  constructor(messages) {
    super("bad values");
    this.messages = messages;
  }
}

/**
 * Plan a request: {method, path, query, headers, cookies, body}.
 *
 * `values` has an entry for each argument that is sent, files as File. The body is
 * null, {json: object} or {form: [[name, value]]}. Raises BadValues.
 */
export function plan(operation, values, { accept = null, background = false } = {}) {
  const taken = operation.arguments.filter(({ name }) => name in values);
  const made = { method: "POST", path: operation.path, query: [], headers: {} };
  made.cookies = [];
  for (const one of taken.filter(({ place }) => place !== "body")) {
    put(made, one, values[one.name]);
  }
  if (accept) negotiate(made, operation.accept, accept);
  if (background) made.headers.Prefer = "respond-async";
  const inBody = taken.filter(({ place }) => place === "body");
  const spoken = accept && operation.accept?.place === "body" ? operation.accept : null;
  made.body = body(operation, inBody, values, spoken && [spoken.name, accept]);
  checkSize(operation, inBody, made);
  return made;
}

// The server refuses such a body, but only after it has been sent.
function checkSize({ maxBytes }, taken, made) {
  if (!maxBytes || fileBytes(made) <= maxBytes) return;
  const files = taken.filter(({ kind }) => kind.startsWith("file"));
  const message = M.tooLarge(size(fileBytes(made)), size(maxBytes));
  throw new BadValues(Object.fromEntries(files.map(({ name }) => [name, [message]])));
}

function put(made, argument, value) {
  const { name, place } = argument;
  if (place === "query") {
    const repeated = Array.isArray(value) && !argument.asJson && !argument.delimiter;
    const all = repeated ? value.map(plain) : [oneText(argument, value)];
    for (const text of all) made.query.push([name, text]);
  } else if (place === "header") {
    const text = oneText({ ...argument, delimiter: "," }, value);
    if (!/^[\x20-\x7e\xa0-\xff]*$/.test(text)) throw new BadValues({ [name]: [M.latin1] });
    made.headers[name] = text;
  } else if (place === "cookie") {
    made.cookies.push([name, quoteCookie(oneText(argument, value))]);
  }
}

/** Quote a text as cookies do, where it holds what would end or cut one (RFC 2109). */
export function quoteCookie(text) {
  if (/^[\w!#$%&'()*+./:<=>?@[\]^`|~-]*$/.test(text)) return text;
  const octal = (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`;
  const escaped = text.replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f;,]/g, octal);
  return `"${escaped}"`;
}

/** Return a value as one text: JSON, or a list's items with their delimiter. */
function oneText({ asJson, delimiter }, value) {
  if (!Array.isArray(value) || asJson || !delimiter) return plain(value);
  return value.map(plain).join(delimiter);
}

function negotiate(made, argument, accept) {
  if (!argument || argument.place === "header") made.headers.Accept = accept;
  else if (argument.place === "query") made.query.push([argument.name, accept]);
}

function body(operation, taken, values, accept) {
  if (!taken.length && !accept) return null;
  const holdsFile = taken.some(({ kind }) => kind.startsWith("file"));
  const fits = (type) => taken.every(({ bodies }) => bodies.includes(type));
  if (!holdsFile && operation.bodies.includes(JSON_TYPE) && fits(JSON_TYPE)) {
    const entries = taken.map(({ name }) => [name, values[name]]);
    return { json: Object.fromEntries(accept ? [...entries, accept] : entries) };
  }
  const parts = taken.flatMap((one) => partsOf(one, values[one.name]));
  return { form: accept ? [...parts, accept] : parts };
}

function partsOf(argument, value) {
  const { name, kind, delimiter } = argument;
  if (value === null) return [];
  if (kind === "file") return [[name, value]];
  if (delimiter) return [[name, oneText(argument, value)]];
  const repeated = Array.isArray(value) && ["files", "list", "choices"].includes(kind);
  if (!repeated) return [[name, plain(value)]];
  return value.map((one) => [name, one instanceof Blob ? one : plain(one)]);
}

/** Return a value as a query, a form or a header holds it. */
export function plain(value) {
  if (typeof value === "string") return value;
  return value === null ? "" : JSON.stringify(value);
}

/** Return the path with its query. */
export function target({ path, query }) {
  return query.length ? `${path}?${new URLSearchParams(query)}` : path;
}

/** Return the options for `request()` of api.js. */
export function options({ method, headers, body: content }) {
  const all = { method, headers: { ...headers } };
  if (content?.json) {
    all.headers["Content-Type"] = JSON_TYPE;
    all.body = JSON.stringify(content.json);
  } else if (content) {
    all.body = new FormData();
    for (const [name, value] of content.form) {
      if (value instanceof File) all.body.append(name, value, value.name);
      else all.body.append(name, value);
    }
  }
  return all;
}

/** Return how many bytes the files of a request have. */
export function fileBytes({ body: content }) {
  const parts = (content?.form ?? []).map(([, value]) => value);
  return parts.reduce((sum, value) => sum + (value instanceof Blob ? value.size : 0), 0);
}

export { FORM, JSON_TYPE };
