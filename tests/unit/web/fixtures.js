// Documents as the server writes them: the contract of deepaas/web/static/describe.js.

const JSON_TYPE = "application/json";
const FORM = "multipart/form-data";

const body = (properties, required = [], types = [FORM, JSON_TYPE]) => ({
  content: Object.fromEntries(types.map((type) => [type, { schema: { type: "object", properties, required } }])),
});

export const file = { type: "string", format: "binary", contentMediaType: "image/*" };

/** Return a document with one model "m" whose predict has these parts. */
export function documentOf({ properties = {}, required = [], types, parameters = [], schemas = {}, answers = {} }) {
  const post = {
    operationId: "predict-m",
    summary: "Make a prediction with m",
    parameters,
    responses: { 200: { description: "The prediction", content: answers } },
  };
  if (Object.keys(properties).length) post.requestBody = body(properties, required, types);
  return { openapi: "3.1.0", paths: { "/v2/models/m/predict/": { post } }, components: { schemas } };
}

export const digits = {
  openapi: "3.1.0",
  paths: {
    "/v2/models/digits/": { get: {} },
    "/v2/models/digits/predict/": {
      post: {
        operationId: "predict-digits",
        summary: "Make a prediction with digits",
        parameters: [
          {
            name: "accept",
            in: "header",
            description: "JSON, or a picture of the prediction",
            schema: { type: "string", default: JSON_TYPE, enum: [JSON_TYPE, "image/png"] },
          },
          { name: "Prefer", in: "header", schema: { type: "string", enum: ["respond-async"] } },
        ],
        requestBody: body(
          {
            data: {
              ...file,
              description: "A picture of one digit, PNG or JPEG",
              "x-deepaas-examples": [{ name: "three.png", url: "v2/models/digits/examples/0" }],
            },
          },
          ["data"],
          [FORM],
        ),
        responses: { 200: { content: { [JSON_TYPE]: {}, "image/png": {} } } },
      },
    },
    "/v2/models/digits/train/": {
      get: {},
      post: {
        operationId: "train-digits",
        requestBody: body({
          epochs: { type: "integer", default: 30, minimum: 1, maximum: 1000, "x-deepaas-unit": "rounds" },
          hidden_units: { type: "integer", default: 128, minimum: 4, maximum: 1024, "x-deepaas-advanced": true },
          learning_rate: { type: "number", default: 0.005, exclusiveMinimum: 0, maximum: 1, "x-deepaas-order": -1 },
        }),
        responses: { 200: { content: { [JSON_TYPE]: {} } } },
      },
    },
  },
};
