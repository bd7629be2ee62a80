// Turns the OpenAPI 3.1 document into models, operations and arguments; nothing else
// knows what the document looks like.

const PATH = /\/v2\/models\/(.+)\/(predict|train)\/?$/;

const FORM = "multipart/form-data";
const JSON_TYPE = "application/json";

/** Optional arguments that are shown at once; more are under "More". */
const SHOWN_OPTIONAL = 6;

// The words in an argument's description that say what a file is, as deepaas_ui has
// them; `#noparse` in the description turns that off.
const WORDS = [
  [/\b(images?|pictures?|photos?|photographs?)\b/i, "image/*"],
  [/\b(audio|sounds?|recordings?|speech)\b/i, "audio/*"],
  [/\b(videos?|movies?)\b/i, "video/*"],
  [/\b(csv|tables?)\b/i, ".csv,text/csv"],
  [/\bjson\b/i, ".json,application/json"],
];

/** Return the models of a document: {name, predict, train}, in its order. */
export function describe(document) {
  const models = new Map();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    const found = PATH.exec(path);
    if (!found || !item.post) continue;
    const [, segment, method] = found;
    const name = nameOf(item.post, method) ?? decode(segment);
    if (!models.has(name)) models.set(name, { name, predict: null, train: null });
    models.get(name)[method] = operation(document, item, method, name);
  }
  return [...models.values()];
}

/** Return the path of an operation or a model, relative to the server's root. */
export const modelPath = (name, rest = "") =>
  `v2/models/${encodeURIComponent(name)}/${rest}`;

function nameOf(post, method) {
  const id = post.operationId ?? "";
  return id.startsWith(`${method}-`) ? id.slice(method.length + 1) : null;
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function operation(document, item, method, name) {
  const { post } = item;
  const found = new Map();
  const content = deref(document, post.requestBody)?.content ?? {};
  for (const parameter of [...(item.parameters ?? []), ...(post.parameters ?? [])]) {
    const { name: key, in: place, required, description, ...rest } =
      deref(document, parameter);
    if (place === "path" || isOurHeader(key, place)) continue;
    const schema = deref(document, schemaOf(rest));
    const words = { ...hints(rest), description, ...schema };
    const made = argument(document, key, place, words, required);
    found.set(key, { ...made, asJson: !rest.schema, delimiter: delimiterOf(rest) });
  }
  for (const [type, { schema, encoding }] of Object.entries(content)) {
    const body = merged(document, schema ?? {});
    const required = new Set(body.required ?? []);
    for (const [key, property] of Object.entries(body.properties ?? {})) {
      const known = found.get(key);
      if (known?.place === "body") known.bodies.push(type);
      if (known) continue;
      const made = argument(document, key, "body", property, required.has(key));
      const delimiter = delimiterOf(encoding?.[key] ?? {});
      found.set(key, { ...made, bodies: [type], delimiter });
    }
  }
  const taken = [...found.values()];
  const accept = taken.find((one) => one.name.toLowerCase() === "accept") ?? null;
  return {
    method,
    model: name,
    path: modelPath(name, `${method}/`),
    summary: post.summary ?? "",
    description: withoutPrefer(post.description ?? ""),
    bodies: Object.keys(content),
    maxBytes: document.info?.["x-deepaas-max-body-bytes"] ?? null,
    arguments: arranged(taken.filter((one) => one !== accept)),
    accept,
    answers: answers(document, post),
  };
}

// The page has a switch for it.
const withoutPrefer = (text) => text.replace(/[^.\n]*`?Prefer: respond-async`?[^.\n]*\.?/, "").trim();

// A parameter whose value is an object has the schema of its JSON instead.
const schemaOf = ({ schema, content }) => schema ?? content?.[JSON_TYPE]?.schema ?? {};

const DELIMITERS = { form: ",", spaceDelimited: " ", pipeDelimited: "|" };

/** Return what stands between the items of a list that is one text; else null. */
const delimiterOf = ({ style, explode }) =>
  explode === false ? (DELIMITERS[style] ?? null) : null;

function hints(words) {
  const names = Object.keys(words).filter((name) => name.startsWith("x-deepaas-"));
  return Object.fromEntries(names.map((name) => [name, words[name]]));
}

// `Prefer` is the page's own switch, `Authorization` the token's; scripts send the others.
function isOurHeader(name, place) {
  const ours = ["prefer", "authorization", "x-request-id", "idempotency-key"];
  return place === "header" && ours.includes(name.toLowerCase());
}

function answers(document, post) {
  const answer = deref(document, post.responses?.["200"] ?? {});
  return Object.keys(answer.content ?? {});
}

/** Put arguments in the author's order, and decide which are under "More". */
function arranged(taken) {
  const order = (one, index) => one.order ?? index;
  const sorted = taken
    .map((one, index) => [one, order(one, index)])
    .sort((a, b) => a[1] - b[1])
    .map(([one]) => one);
  let optional = 0;
  for (const one of sorted) {
    if (one.required) one.advanced = false;
    else one.advanced ??= (optional += 1) > SHOWN_OPTIONAL;
  }
  return sorted;
}

function deref(document, schema, seen = new Set()) {
  const reference = schema?.$ref;
  if (typeof reference !== "string") return schema;
  if (seen.has(reference) || !reference.startsWith("#/")) return {};
  seen.add(reference);
  const { $ref, ...rest } = schema;
  const steps = reference.slice(2).split("/").map(unescapePointer);
  const target = steps.reduce((place, step) => place?.[step], document) ?? {};
  return { ...deref(document, target, seen), ...rest };
}

const unescapePointer = (step) =>
  decode(step).replaceAll("~1", "/").replaceAll("~0", "~");

/** Resolve references and the ways to say "this or null" into one schema. */
function merged(document, schema, depth = 0) {
  if (typeof schema !== "object" || schema === null || depth > 20) return {};
  let found = deref(document, schema);
  let nullable = false;
  for (const word of ["anyOf", "oneOf", "allOf"]) {
    const { [word]: options, ...rest } = found;
    if (!Array.isArray(options)) continue;
    const real = options.filter((one) => deref(document, one)?.type !== "null");
    nullable ||= real.length < options.length;
    if (real.length !== 1 && word !== "allOf") continue;
    const parts = real.map((one) => merged(document, one, depth + 1));
    found = Object.assign({}, ...parts, rest);
  }
  if (Array.isArray(found.type)) {
    nullable ||= found.type.includes("null");
    const types = found.type.filter((type) => type !== "null");
    found = { ...found, type: types.length === 1 ? types[0] : undefined };
  }
  return nullable ? { ...found, nullable } : found;
}

function argument(document, name, place, raw, required) {
  const schema = merged(document, raw);
  const items = merged(document, schema.items ?? {});
  const kind = kindOf(document, schema, items);
  const described = kind === "files" ? { ...items, ...schema } : schema;
  return {
    name,
    place,
    bodies: [],
    asJson: false,
    delimiter: null,
    kind,
    required: Boolean(required) && schema.default === undefined,
    label: schema.title ?? name,
    description: (schema.description ?? "").replace("#noparse", "").trim(),
    unit: schema["x-deepaas-unit"] ?? null,
    widget: schema["x-deepaas-widget"] ?? null,
    order: schema["x-deepaas-order"] ?? null,
    advanced: schema["x-deepaas-advanced"],
    default: schema.default,
    nullable: Boolean(schema.nullable),
    secret: Boolean(schema.writeOnly) && schema.format === "password",
    examples: schema.examples ?? items.examples ?? [],
    fileExamples: schema["x-deepaas-examples"] ?? items["x-deepaas-examples"] ?? [],
    media: kind.startsWith("file") ? mediaOf(described) : null,
    integer: (kind === "list" ? items : schema).type === "integer",
    numeric: ["integer", "number"].includes((kind === "list" ? items : schema).type),
    format: schema.format ?? null,
    zone: schema["x-deepaas-zone"] === true,
    choices: (kind === "choices" ? items : schema).enum?.filter((one) => one !== null),
    fields: kind === "object" ? fieldsOf(document, schema) : null,
    ...limits(schema),
  };
}

function limits(schema) {
  return {
    min: schema.minimum ?? null,
    max: schema.maximum ?? null,
    above: schema.exclusiveMinimum ?? null,
    below: schema.exclusiveMaximum ?? null,
    step: schema.multipleOf ?? null,
    minLength: schema.minLength ?? null,
    maxLength: schema.maxLength ?? null,
    pattern: schema.pattern ?? null,
    minItems: schema.minItems ?? null,
    maxItems: schema.maxItems ?? null,
  };
}

const SIMPLE = ["string", "integer", "number"];

function kindOf(document, schema, items) {
  if (isFile(schema)) return "file";
  if (schema.type === "array" && isFile(items)) return "files";
  if (Array.isArray(schema.enum)) return "choice";
  if (schema.type === "array" && Array.isArray(items.enum)) return "choices";
  if (schema.type === "boolean") return "bool";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "string") return schema.format === "password" ? "password" : "text";
  if (schema.type === "array" && SIMPLE.includes(items.type)) return "list";
  if (schema.type === "object" && fieldsOf(document, schema)) return "object";
  if (schema.type === "array" || schema.type === "object") return "json";
  return "any";
}

function isFile(schema) {
  if (schema.type !== "string" && schema.type !== undefined) return false;
  return schema.format === "binary" || Boolean(schema.contentMediaType);
}

/** Return the arguments within an object, if all of them are simple; else null. */
function fieldsOf(document, schema) {
  const properties = Object.entries(schema.properties ?? {});
  if (!properties.length) return null;
  const required = new Set(schema.required ?? []);
  const fields = [];
  for (const [name, property] of properties) {
    const plain = merged(document, property);
    if (plain.type === "object" || plain.type === "array" || isFile(plain)) return null;
    fields.push(argument(document, name, "inner", property, required.has(name)));
  }
  return fields;
}

function mediaOf(schema) {
  const said = schema.contentMediaType ?? schema["x-deepaas-media"];
  if (said && said !== "application/octet-stream") return [said].flat().join(",");
  const description = schema.description ?? "";
  if (description.includes("#noparse")) return null;
  return WORDS.find(([words]) => words.test(description))?.[1] ?? null;
}
