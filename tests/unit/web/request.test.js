import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../../../deepaas/web/static/describe.js";
import { BadValues, options, plan, quoteCookie, target } from "../../../deepaas/web/static/request.js";
import { quoteShell } from "../../../deepaas/web/static/follow_snippet.js";
import { quotePython, snippet } from "../../../deepaas/web/static/snippet.js";
import { digits, documentOf, file } from "./fixtures.js";

const operation = (parts) => describe(documentOf(parts))[0].predict;
const number = { type: "integer" };

test("without a file, values go as JSON and keep their types", () => {
  const made = plan(operation({ properties: { n: number, o: { type: "object" } } }), { n: 3, o: { a: [1] } });
  assert.deepEqual(made.body, { json: { n: 3, o: { a: [1] } } });
  assert.equal(options(made).headers["Content-Type"], "application/json");
});

test("with a file, values go as parts: lists repeat, objects are JSON, null is absent", () => {
  const properties = { f: file, l: { type: "array", items: number }, o: { type: "object" }, b: { type: "boolean" }, z: { type: ["string", "null"] } };
  const picture = new File(["x"], "ü.png");
  const made = plan(operation({ properties }), { f: picture, l: [1, 2], o: { a: 1 }, b: true, z: null });
  assert.deepEqual(made.body.form, [["f", picture], ["l", "1"], ["l", "2"], ["o", '{"a":1}'], ["b", "true"]]);
  assert.deepEqual([...options(made).body.keys()], ["f", "l", "l", "o", "b"]);
});

test("a file that is not set leaves the body to JSON, if that may hold the others", () => {
  const properties = { f: file, n: number };
  const document = documentOf({ properties });
  delete document.paths["/v2/models/m/predict/"].post.requestBody.content["application/json"].schema.properties.f;
  const [{ predict }] = describe(document);
  assert.deepEqual(plan(predict, { n: 1 }).body, { json: { n: 1 } });
  assert.deepEqual(plan(operation({ properties: { n: number }, types: ["multipart/form-data"] }), { n: 1 }).body, { form: [["n", "1"]] });
});

test("query, headers and cookies have their places", () => {
  const parameters = [
    { name: "q", in: "query", schema: { type: "array", items: number } },
    { name: "X-N", in: "header", schema: number },
    { name: "c", in: "cookie", schema: { type: "string" } },
  ];
  const made = plan(operation({ parameters }), { q: [1, 2], "X-N": 5, c: "v" });
  assert.equal(target(made), "v2/models/m/predict/?q=1&q=2");
  assert.deepEqual(made.headers, { "X-N": "5" });
  assert.deepEqual(made.cookies, [["c", "v"]]);
  assert.equal(made.body, null);
  assert.throws(() => plan(operation({ parameters: [{ name: "X", in: "header", schema: {} }] }), { X: "日" }), BadValues);
});

test("lists have their delimiter, and objects outside the body are JSON", () => {
  const list = { type: "array", items: number };
  const json = { content: { "application/json": { schema: { type: "object" } } } };
  const spaced = { style: "spaceDelimited", explode: false, schema: list };
  const parameters = [
    { name: "q", in: "query", ...spaced },
    { name: "o", in: "query", ...json },
    { name: "rows", in: "query", content: { "application/json": { schema: list } } },
    { name: "X-O", in: "header", ...json },
    { name: "c", in: "cookie", style: "form", explode: false, schema: list },
  ];
  const made = plan(operation({ parameters }), { q: [1, 2], o: { a: [1] }, rows: [3, 4], "X-O": { a: 1 }, c: [5, 6] });
  assert.deepEqual(made.query, [["q", "1 2"], ["o", '{"a":[1]}'], ["rows", "[3,4]"]]);
  assert.deepEqual(made.headers, { "X-O": '{"a":1}' });
  assert.deepEqual(made.cookies, [["c", '"5\\0546"']]);
});

test("a part of a form has the delimiter that its encoding names", () => {
  const document = documentOf({ properties: { l: { type: "array", items: number } }, types: ["multipart/form-data"] });
  const { content } = document.paths["/v2/models/m/predict/"].post.requestBody;
  content["multipart/form-data"].encoding = { l: { style: "pipeDelimited", explode: false } };
  assert.deepEqual(plan(describe(document)[0].predict, { l: [1, 2] }).body.form, [["l", "1|2"]]);
});

test("a cookie is quoted where something in it would end it", () => {
  assert.equal(quoteCookie("a-b.c=%20"), "a-b.c=%20");
  assert.equal(quoteCookie('a "b"; \\c,\n'), '"a \\"b\\"\\073 \\\\c\\054\\012"');
  assert.equal(quoteCookie("ü"), '"ü"');
});

test("files beyond the server's limit are refused before they are sent", () => {
  const document = documentOf({ properties: { f: file } });
  document.info = { "x-deepaas-max-body-bytes": 3 };
  const [{ predict }] = describe(document);
  assert.throws(() => plan(predict, { f: new File(["1234"], "a") }), BadValues);
  assert.ok(plan(predict, { f: new File(["123"], "a") }).body);
});

test("the type of the answer goes where the author looks for it", () => {
  const schema = { type: "string", enum: ["a/b", "c/d"] };
  assert.equal(plan(describe(digits)[0].predict, {}, { accept: "image/png" }).headers.Accept, "image/png");
  const inQuery = operation({ parameters: [{ name: "accept", in: "query", schema }] });
  assert.deepEqual(plan(inQuery, {}, { accept: "c/d" }).query, [["accept", "c/d"]]);
  const inBody = operation({ properties: { accept: schema } });
  assert.deepEqual(plan(inBody, {}, { accept: "c/d" }).body, { json: { accept: "c/d" } });
});

test("in the background means respond-async", () => {
  assert.equal(plan(describe(digits)[0].predict, {}, { background: true }).headers.Prefer, "respond-async");
});

test("quoting", () => {
  assert.equal(quoteShell("it's $HOME"), `'it'\\''s $HOME'`);
  assert.equal(quotePython({ a: [true, null, 1.5, "é\n"] }), '{"a": [True, None, 1.5, "é\\n"]}');
});

test("a snippet has the file's name and asks for the token by name", () => {
  const made = plan(describe(digits)[0].predict, { data: new File(["x"], 'a "b".png') }, { accept: "image/png" });
  const curl = snippet("curl", made, "http://h/x/", { token: true });
  assert.match(curl, /-F 'data=@"a \\"b\\".png"'/);
  assert.match(curl, /Bearer \$TOKEN/);
  assert.match(curl, /-o result/);
  assert.match(curl, /'http:\/\/h\/x\/v2\/models\/digits\/predict\/'$/);
  assert.match(snippet("python", made, "http://h/"), /open\("a \\"b\\"\.png", "rb"\)/);
  assert.match(snippet("javascript", made, "http://h/"), /openAsBlob/);
});
