import "./page.js";

import assert from "node:assert/strict";
import { test } from "node:test";

const { address, events, lines, pieces } = await import("../../../deepaas/web/static/api.js");
const { Estimate, followLog, isFinal, persist } = await import("../../../deepaas/web/static/follow.js");

async function* chunks(...texts) {
  for (const text of texts) yield typeof text === "string" ? new TextEncoder().encode(text) : text;
}

const all = async (iterator) => {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
};

test("addresses begin above ui/", () => {
  assert.equal(address("v2/models/"), "http://127.0.0.1/a/v2/models/");
});

test("lines may end anywhere in the pieces, also within a character", async () => {
  const bytes = new TextEncoder().encode("é\nb");
  assert.deepEqual(await all(lines(chunks("a", "b\r\n\nc", bytes.subarray(0, 1), bytes.subarray(1)))), ["ab", "", "cé", "b"]);
});

test("events: names, data of several lines, comments", async () => {
  const text = ': hello\n\nevent: status\ndata: {"a":1}\n\ndata: one\ndata: two\n\n: nothing new\n\ndata: cut off';
  const whole = await all(events(chunks(...text)));
  assert.deepEqual(whole, [
    { event: "status", data: '{"a":1}' },
    { event: "message", data: "one\ntwo" },
  ]);
});

test("a stream in which nothing comes is lost after a while", async () => {
  const silent = new Response(new ReadableStream({}));
  await assert.rejects(all(pieces(silent, 0.01)), /cannot be reached/);
});

test("persist waits longer after each failure, and begins anew after a success", async () => {
  const waited = [];
  let attempts = 0;
  const wait = async () => {};
  await persist(
    async (progressed) => {
      attempts += 1;
      if (attempts === 4) progressed();
      if (attempts < 7) throw new TypeError("network");
      return true;
    },
    { wait, onWait: (seconds) => waited.push(seconds) },
  );
  assert.deepEqual(waited, [1, 2, 4, 1, 2, 4]);
});

test("persist gives up when the job is gone", async () => {
  const gone = Object.assign(new Error("gone"), { status: 404 });
  await assert.rejects(persist(async () => Promise.reject(gone), { wait: async () => {} }), /gone/);
});

test("a log that is cut off goes on after the last byte, within a character too", async () => {
  const whole = new TextEncoder().encode("one\ntwö\nthree\n");
  const cuts = [6, 9, whole.length];
  let calls = 0;
  globalThis.fetch = async () => {
    const cut = cuts[calls];
    calls += 1;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(whole.subarray(0, cut));
        if (calls < 3) controller.error(new TypeError("cut"));
        else controller.close();
      },
    });
    return new Response(body);
  };
  let text = "";
  const signal = new AbortController().signal;
  const wait = async () => {};
  await followLog("v2/models/m/train/1/", { signal, wait, onText: (piece) => (text += piece), isOver: () => calls > 1 }).ended;
  assert.equal(calls, 3);
  assert.equal(text, "one\ntwö\nthree\n");
});

test("a log whose connection is silent connects again when it is told to", async () => {
  const texts = ["one\n", "one\ntwo\n"];
  let calls = 0;
  globalThis.fetch = async (url, { signal }) => {
    const text = texts[calls];
    calls += 1;
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        if (text === texts[1]) controller.close();
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body);
  };
  let text = "";
  const onText = (piece) => {
    text += piece;
    if (calls === 1) setTimeout(followed.reconnect);
  };
  const { signal } = new AbortController();
  const followed = followLog("v2/models/m/train/1/", { signal, onText, wait: async () => {}, isOver: () => calls > 1 });
  await followed.ended;
  assert.equal(text, "one\ntwo\n");
});

test("what a proxy refuses for a moment is tried again", () => {
  assert.deepEqual([0, 400, 401, 404, 408, 429, 502].filter((status) => isFinal({ status })), [400, 401, 404]);
});

test("the time left comes from the latest reports", () => {
  const estimate = new Estimate();
  assert.equal(estimate.left(10), null);
  for (let step = 1; step <= 30; step += 1) {
    estimate.add({ step, date: new Date(step * 2000).toISOString() });
  }
  assert.equal(estimate.left(40), 20);
  assert.equal(estimate.left(undefined), null);
});
