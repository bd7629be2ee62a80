// Writes a planned request as curl, Python or JavaScript that a person can run.

import { quoteShell } from "./follow_snippet.js";
import { JSON_TYPE, target } from "./request.js";

/** Return code that makes a request; `root` is the server's address, with its end /. */
export function snippet(language, planned, root, { token = false } = {}) {
  return { curl, python, javascript }[language](planned, root, token);
}

/** Write a JSON value as Python does. */
export function quotePython(value, indent = 0) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return quoteText(value);
  const inner = " ".repeat(indent + 4);
  const items = Array.isArray(value)
    ? value.map((one) => quotePython(one, indent + 4))
    : Object.entries(value).map(
        ([name, one]) => `${quoteText(name)}: ${quotePython(one, indent + 4)}`,
      );
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const short = `${open}${items.join(", ")}${close}`;
  if (short.length <= 70) return short;
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${" ".repeat(indent)}${close}`;
}

// JSON's escapes are Python's and JavaScript's too. A lone surrogate stays escaped.
const quoteText = (text) => JSON.stringify(text);

const fileName = (value) => value.name || "file";

const isFile = (value) => typeof value === "object";

function curl(planned, root, token) {
  const words = ["curl"];
  if (!planned.body) words.push("-X POST");
  if (token) words.push('-H "Authorization: Bearer $TOKEN"');
  for (const [name, value] of Object.entries(planned.headers)) {
    words.push(`-H ${quoteShell(value === "" ? `${name};` : `${name}: ${value}`)}`);
  }
  if (planned.cookies.length) {
    words.push(`-b ${quoteShell(cookieLine(planned))}`);
  }
  if (planned.body?.json) {
    words.push(`-H 'Content-Type: ${JSON_TYPE}'`);
    words.push(`-d ${quoteShell(JSON.stringify(planned.body.json))}`);
  }
  for (const [name, value] of planned.body?.form ?? []) words.push(curlPart(name, value));
  if (isBinary(planned)) words.push("-o result");
  words.push(quoteShell(root + target(planned)));
  return words.join(" \\\n  ");
}

// --form-string takes no @ and no ; for its own words.
function curlPart(name, value) {
  if (!isFile(value)) return `--form-string ${quoteShell(`${name}=${value}`)}`;
  const path = fileName(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  return `-F ${quoteShell(`${name}=@"${path}"`)}`;
}

const cookieLine = ({ cookies }) => cookies.map(([name, value]) => `${name}=${value}`).join("; ");

// Libraries send other letters of a header as Latin-1, browsers as UTF-8.
const isAscii = (text) => /^[\x00-\x7f]*$/.test(text);

function isBinary({ headers, body, query }) {
  const asked = new Map([
    ...query,
    ...(body?.form ?? []),
    ...Object.entries(body?.json ?? {}),
    ...Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  ]).get("accept");
  return typeof asked === "string" && !/^(text\/|application\/(x-nd)?json)/.test(asked);
}

function python(planned, root, token) {
  const headers = Object.entries(planned.headers).map(
    ([name, value]) => `${quoteText(name)}: ${quoteText(value)}`,
  );
  const odd = !isAscii(cookieLine(planned));
  if (odd) headers.push(`"Cookie": ${quoteText(cookieLine(planned))}.encode()`);
  if (token) headers.unshift(`"Authorization": f"Bearer {os.environ['TOKEN']}"`);
  const lines = [`    ${quoteText(root + planned.path)},`];
  const add = (name, text) => lines.push(`    ${name}=${text},`);
  const pairs = (entries) =>
    `[\n${entries.map(([n, v]) => `        (${quoteText(n)}, ${v}),\n`).join("")}    ]`;
  if (planned.query.length) {
    add("params", pairs(planned.query.map(([n, v]) => [n, quoteText(v)])));
  }
  if (headers.length) add("headers", `{${headers.join(", ")}}`);
  if (planned.cookies.length && !odd) {
    add("cookies", quotePython(Object.fromEntries(planned.cookies)));
  }
  if (planned.body?.json) add("json", quotePython(planned.body.json, 4));
  if (planned.body?.form) add("files", pairs(planned.body.form.map(pythonPart)));
  const read = isBinary(planned)
    ? 'open("result", "wb").write(response.content)'
    : "print(response.text)";
  return [
    ...(token ? ["import os", ""] : []),
    "import requests",
    "",
    `response = requests.post(\n${lines.join("\n")}\n)`,
    "response.raise_for_status()",
    read,
  ].join("\n");
}

// A part without a file name is a plain field: (None, text).
function pythonPart([name, value]) {
  if (!isFile(value)) return [name, `(None, ${quoteText(value)})`];
  return [name, `open(${quoteText(fileName(value))}, "rb")`];
}

function javascript(planned, root, token) {
  const headers = Object.entries(planned.headers).map(
    ([name, value]) => `    ${quoteText(name)}: ${quoteText(value)},\n`,
  );
  if (token) headers.unshift("    Authorization: `Bearer ${process.env.TOKEN}`,\n");
  if (planned.cookies.length) {
    const text = quoteText(cookieLine(planned));
    const sent = isAscii(text) ? text : `Buffer.from(${text}).toString("latin1")`;
    headers.push(`    Cookie: ${sent},\n`);
  }
  const before = [];
  let body = "";
  if (planned.body?.json) {
    headers.push(`    "Content-Type": "${JSON_TYPE}",\n`);
    body = `  body: JSON.stringify(${JSON.stringify(planned.body.json)}),\n`;
  } else if (planned.body) {
    if (planned.body.form.some(([, value]) => isFile(value))) {
      before.push('import { openAsBlob } from "node:fs";', "");
    }
    before.push("const form = new FormData();");
    before.push(...planned.body.form.map(javascriptPart));
    body = "  body: form,\n";
  }
  const read = isBinary(planned)
    ? [
        "const result = Buffer.from(await response.arrayBuffer());",
        'await (await import("node:fs/promises")).writeFile("result", result);',
      ]
    : ["console.log(await response.text());"];
  return [
    ...before,
    `const response = await fetch(${quoteText(root + target(planned))}, {`,
    `  method: "POST",\n${headers.length ? `  headers: {\n${headers.join("")}  },\n` : ""}${body}});`,
    "if (!response.ok) throw new Error(await response.text());",
    ...read,
  ].join("\n");
}

function javascriptPart([name, value]) {
  if (!isFile(value)) return `form.append(${quoteText(name)}, ${quoteText(value)});`;
  const file = quoteText(fileName(value));
  return `form.append(${quoteText(name)}, await openAsBlob(${file}), ${file});`;
}
