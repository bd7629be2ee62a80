// Reads a document from standard input; prints the arguments that describe.js finds.

import { describe } from "../../../deepaas/web/static/describe.js";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);

const names = (operation) =>
  operation && [...operation.arguments, operation.accept].filter(Boolean).map(({ name }) => name).sort();

const models = describe(JSON.parse(Buffer.concat(chunks).toString()));
const found = models.map(({ name, predict, train }) => [name, [names(predict), names(train)]]);
console.log(JSON.stringify(Object.fromEntries(found)));
