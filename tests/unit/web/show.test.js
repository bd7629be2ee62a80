import "./page.js";

import assert from "node:assert/strict";
import { test } from "node:test";

const { grouped, horizontal, joined, smooth, summarise } = await import("../../../deepaas/web/static/chart.js");
const { overwritten, styled } = await import("../../../deepaas/web/static/log.js");
const { mediaTypeOf } = await import("../../../deepaas/web/static/media.js");
const { asBars, unwrapped } = await import("../../../deepaas/web/static/result.js");
const { asTable, parseCsv } = await import("../../../deepaas/web/static/table.js");
const { inZone, readList, withZone } = await import("../../../deepaas/web/static/fields.js");
const { ago, duration, num, size } = await import("../../../deepaas/web/static/messages.js");

test("smoothing has no bias at its start, and keeps gaps", () => {
  assert.deepEqual(smooth([1, 2, null], 0), [1, 2, null]);
  const values = smooth([3, 3, null, 3], 0.9);
  assert.equal(values[2], null);
  for (const at of [0, 1, 3]) assert.ok(Math.abs(values[at] - 3) < 1e-12);
});

test("metrics that end in the same word share a chart", () => {
  const groups = grouped(["loss", "val_loss", "accuracy", "glossiness"]);
  assert.deepEqual([...groups], [["loss", ["loss", "val_loss"]], ["accuracy", ["accuracy"]], ["glossiness", ["glossiness"]]]);
});

test("runs of different length are joined by their x", () => {
  const columns = joined([{ x: [1, 2, 3], y: [1, null, 3] }, { x: [2, 4], y: [5, 6] }]);
  assert.deepEqual(columns, [[1, 2, 3, 4], [1, null, 3, undefined], [undefined, 5, undefined, 6]]);
});

test("the horizontal axis: step, time since the start, clock", () => {
  const metrics = { step: [5, null], date: ["2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"] };
  assert.deepEqual(horizontal(metrics, "step"), [5, 1]);
  assert.deepEqual(horizontal(metrics, "elapsed"), [0, 2]);
});

test("a summary leaves out what is no number", () => {
  assert.deepEqual(summarise([null, 3, 1, 2], [10, 20, 30, 40]), { count: 3, last: 2, low: 1, lowAt: 30, high: 3, highAt: 20 });
});

test("a carriage return overwrites the line, as far as the new text goes", () => {
  assert.equal(overwritten("10 %\r20 %\r100 %"), "100 %");
  assert.equal(overwritten("abcdef\rxy"), "xycdef");
});

test("colours become classes; other sequences vanish", () => {
  const state = new Set();
  assert.deepEqual(styled("a\x1b[1;31mb\x1b[0mc\x1b[2Kd", state), [
    { text: "a", style: [] },
    { text: "b", style: ["bold", "sgr-1"] },
    { text: "c", style: [] },
    { text: "d", style: [] },
  ]);
  styled("\x1b[38;5;200mx\x1b[92m", state);
  assert.deepEqual([...state], ["sgr-2"]);
});

test("base64 is known by its beginning", () => {
  const png = "iVBORw0KGgo".padEnd(60, "A");
  assert.equal(mediaTypeOf(png), "image/png");
  assert.equal(mediaTypeOf(`data:audio/wav;base64,${png}`), "audio/wav");
  assert.equal(mediaTypeOf("iVBORw0KGgo is how base64 of a PNG begins, in words"), null);
  assert.equal(mediaTypeOf("short"), null);
});

test("the envelope of a string answer is taken off", () => {
  assert.deepEqual(unwrapped({ status: "OK", predictions: "[1, 2]" }), [1, 2]);
  assert.equal(unwrapped({ status: "OK", predictions: "three" }), "three");
  assert.deepEqual(unwrapped({ predictions: [1] }), { predictions: [1] });
});

test("an answer of a classifier is drawn as bars", () => {
  assert.deepEqual(asBars({ labels: ["cat", "dog"], probabilities: [0.2, 0.8] }), [["dog", 0.8], ["cat", 0.2]]);
  assert.deepEqual(asBars({ label: 1, probabilities: [0.1, 0.9] }), [["1", 0.9], ["0", 0.1]]);
  assert.deepEqual(asBars({ scores: { a: 0.5, b: 0.25 } }), [["a", 0.5], ["b", 0.25]]);
  assert.equal(asBars({ losses: [0.1, 0.9] }), null);
  assert.equal(asBars({ probabilities: [3, 4] }), null);
  assert.equal(asBars([0.1, 0.9]), null);
});

test("lists of flat objects, and objects of lists, are tables", () => {
  assert.deepEqual(asTable([{ a: 1 }, { a: 2, b: 3 }]), { columns: ["a", "b"], rows: [[1, undefined], [2, 3]] });
  assert.deepEqual(asTable({ x: [1, 2], y: [3, 4] }), { columns: ["x", "y"], rows: [[1, 3], [2, 4]] });
  assert.equal(asTable({ x: [1, 2], y: [3] }), null);
  assert.equal(asTable([1, 2]), null);
});

test("CSV: quotes, lines within quotes, empty lines", () => {
  assert.deepEqual(parseCsv('a,b\r\n"x, ""y""","1\n2"\n\nlast,'), [["a", "b"], ['x, "y"', "1\n2"], ["last", ""]]);
});

test("lists are read from a spreadsheet, from JSON, from commas", () => {
  const numeric = { numeric: true, integer: false };
  assert.deepEqual(readList("1\t2\n3.5", numeric), [1, 2, 3.5]);
  assert.deepEqual(readList("[1, 2]", numeric), [1, 2]);
  assert.deepEqual(readList("a b, c", { numeric: false }), ["a b", "c"]);
  assert.deepEqual(readList('["a, b", ""]', { numeric: false }), ["a, b", ""]);
  assert.throws(() => readList("1, x", numeric), /not a number/);
  assert.throws(() => readList("1.5", { numeric: true, integer: true }), /whole number/);
});

test("numbers, sizes and times as people read them", () => {
  assert.equal(num(0.0073827507), "0.0073828");
  assert.equal(num(null), "–");
  assert.equal(num(12345), "12,345");
  assert.equal(size(999), "999 bytes");
  assert.equal(size(1_500_000), "1.50 MB");
  assert.equal(duration(0.048), "48 ms");
  assert.equal(duration(3700), "1 h 2 min");
  assert.equal(ago(new Date().toISOString()), "just now");
});

test("a moment gets the browser's zone, and is shown in it", () => {
  assert.match(withZone("2026-11-26T10:00"), /^2026-11-26T10:00[+-]\d\d:\d\d$/);
  const moment = "2026-11-26T10:00:05+00:00";
  assert.equal(Date.parse(withZone(inZone(moment))), Date.parse(moment));
  assert.equal(inZone("soon"), "soon");
  assert.equal(inZone(undefined), undefined);
});
