import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../../../deepaas/web/static/describe.js";
import { digits, documentOf, file } from "./fixtures.js";

const predict = (parts) => describe(documentOf(parts))[0].predict;
const argument = (schema, more = {}) => predict({ properties: { x: schema }, ...more }).arguments[0];

test("finds models, their methods, and what the page itself sends is left out", () => {
  const [model] = describe(digits);
  assert.equal(model.name, "digits");
  assert.deepEqual(model.predict.arguments.map(({ name }) => name), ["data"]);
  assert.deepEqual(model.predict.accept.choices, ["application/json", "image/png"]);
  assert.equal(model.predict.accept.place, "header");
  assert.equal(model.predict.path, "v2/models/digits/predict/");
  assert.equal(model.train.method, "train");
});

test("a model's name may hold anything", () => {
  const name = "a b/c?ü";
  const path = `/base/v2/models/${encodeURIComponent(name)}/predict/`;
  const [model] = describe({ paths: { [path]: { post: { operationId: `predict-${name}` } } } });
  assert.equal(model.name, name);
  assert.equal(model.predict.path, `v2/models/${encodeURIComponent(name)}/predict/`);
  assert.equal(describe({ paths: { [path]: { post: {} } } })[0].name, name);
});

test("arguments keep the author's order, unless he sets another", () => {
  const [{ train }] = describe(digits);
  assert.deepEqual(train.arguments.map(({ name }) => name), ["learning_rate", "epochs", "hidden_units"]);
  assert.equal(train.arguments[0].above, 0);
  assert.equal(train.arguments[1].unit, "rounds");
  assert.equal(train.arguments[2].advanced, true);
});

const KINDS = [
  ["text", { type: "string" }],
  ["text", { type: "string", format: "date" }],
  ["text", { type: "string", format: "uuid" }],
  ["password", { type: "string", format: "password", writeOnly: true }],
  ["number", { type: "integer" }],
  ["number", { type: ["number", "null"] }],
  ["number", { anyOf: [{ type: "integer" }, { type: "null" }] }],
  ["bool", { type: "boolean" }],
  ["choice", { type: "string", enum: ["a", "b"] }],
  ["choice", { enum: [1, 2, null] }],
  ["choices", { type: "array", items: { type: "string", enum: ["a", "b"] } }],
  ["list", { type: "array", items: { type: "number" } }],
  ["json", { type: "array", items: { type: "array", items: { type: "number" } } }],
  ["json", { type: "array" }],
  ["json", { type: "object" }],
  ["object", { type: "object", properties: { a: { type: "integer" }, b: { type: "string" } } }],
  ["json", { type: "object", properties: { a: { type: "object" } } }],
  ["file", file],
  ["file", { type: "string", contentMediaType: "audio/wav" }],
  ["files", { type: "array", items: file }],
  ["any", {}],
  ["any", { type: ["string", "integer"] }],
  ["any", true],
];
for (const [kind, schema] of KINDS) {
  test(`${JSON.stringify(schema)} is a field of kind ${kind}`, () => {
    assert.equal(argument(schema).kind, kind);
  });
}

test("references are resolved, also those that lead to themselves", () => {
  const schemas = {
    Size: { type: "object", required: ["w"], properties: { w: { type: "integer" }, h: { type: "integer" } } },
    Tree: { type: "object", properties: { child: { $ref: "#/components/schemas/Tree" } } },
    Loop: { $ref: "#/components/schemas/Loop" },
    "a/b~c": { type: "integer" },
  };
  const found = argument({ $ref: "#/components/schemas/Size" }, { schemas });
  assert.deepEqual(found.fields.map(({ name, required }) => [name, required]), [["w", true], ["h", false]]);
  assert.equal(argument({ $ref: "#/components/schemas/Tree" }, { schemas }).kind, "json");
  assert.equal(argument({ $ref: "#/components/schemas/Loop" }, { schemas }).kind, "any");
  assert.equal(argument({ $ref: "#/components/schemas/a~1b~0c" }, { schemas }).kind, "number");
  assert.equal(argument({ allOf: [{ $ref: "#/components/schemas/Size" }], description: "S" }, { schemas }).description, "S");
});

test("places and bodies: query, header, cookie, and what each body takes", () => {
  const parameters = ["query", "header", "cookie", "path"].map((place) => ({ name: `in-${place}`, in: place, schema: { type: "integer" } }));
  const { arguments: found } = predict({ properties: { both: { type: "integer" } }, parameters });
  assert.deepEqual(found.map(({ name, place }) => [name, place]), [
    ["in-query", "query"],
    ["in-header", "header"],
    ["in-cookie", "cookie"],
    ["both", "body"],
  ]);
  assert.deepEqual(found.at(-1).bodies, ["multipart/form-data", "application/json"]);
});

test("optional arguments beyond six are under More; required ones never", () => {
  const properties = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`a${i}`, { type: "integer" }]));
  const { arguments: found } = predict({ properties, required: ["a8"] });
  assert.deepEqual(found.filter(({ advanced }) => advanced).map(({ name }) => name), ["a6", "a7"]);
});

test("the words of a description say what a file is, unless #noparse does", () => {
  const plain = { type: "string", format: "binary" };
  assert.equal(argument({ ...plain, description: "A picture of a digit" }).media, "image/*");
  assert.equal(argument({ ...plain, description: "Sound" }).media, "audio/*");
  assert.equal(argument({ ...plain, description: "A picture #noparse" }).media, null);
  assert.equal(argument({ ...plain, description: "A picture #noparse" }).description, "A picture");
  assert.equal(argument({ type: "array", items: { ...plain, contentMediaType: "video/mp4" } }).media, "video/mp4");
});

test("the suffixes of a file stand beside its type", () => {
  const scan = { type: "string", format: "binary", "x-deepaas-media": [".nii.gz", "image/*"] };
  assert.equal(argument(scan).media, ".nii.gz,image/*");
  assert.equal(argument({ type: "array", items: scan }).media, ".nii.gz,image/*");
});

test("a parameter may have the schema of its JSON in place of its own", () => {
  const schema = { type: "object", properties: { x: { type: "integer" } } };
  const parameters = [{ name: "p", in: "query", description: "A point", content: { "application/json": { schema } } }];
  const [found] = predict({ parameters }).arguments;
  assert.deepEqual([found.kind, found.asJson, found.description], ["object", true, "A point"]);
});

test("a required argument with a default is not asked for", () => {
  assert.equal(argument({ type: "integer", default: 0 }, { required: ["x"] }).required, false);
  assert.equal(argument({ type: "integer" }, { required: ["x"] }).required, true);
});

test("accept in the query or a body is negotiation too", () => {
  const schema = { type: "string", enum: ["text/plain", "image/png"] };
  assert.equal(predict({ properties: { accept: schema } }).accept.place, "body");
  const parameters = [{ name: "accept", in: "query", schema }];
  assert.equal(predict({ parameters }).accept.place, "query");
});

test("an odd document is no reason to fail", () => {
  assert.deepEqual(describe({}), []);
  assert.deepEqual(describe({ paths: { "/v2/models/m/predict/": {} } }), []);
  assert.equal(describe({ paths: { "/v2/models/%E0%A4%A/predict": { post: {} } } })[0].name, "%E0%A4%A");
});
