// Follows a job until it has ended, through lost connections and restarts.

import { events, getJson, pieces, request } from "./api.js";

const FIRST_WAIT = 1;
const LONGEST_WAIT = 30;

/** Milliseconds between two requests for the history of metrics, at the least. */
const METRICS_PAUSE = 1000;

export const hasEnded = (job) => ["done", "error", "cancelled"].includes(job.status);

/** Wait for some seconds, or until the browser is online again. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, seconds * 1000);
    function end() {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", end);
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      end();
      reject(signal.reason);
    }
    if (signal?.aborted) return stop();
    globalThis.addEventListener?.("online", end);
    signal?.addEventListener("abort", stop);
  });
}

/** Tell whether a call that failed will fail again. */
export const isFinal = ({ status }) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

/**
 * Do something again and again until it says that it is done, pausing when it fails.
 *
 * `attempt(progressed)` returns true when all is done; it calls `progressed` when the
 * connection works. Errors that would come again are raised.
 */
export async function persist(attempt, { signal, onWait = () => {}, wait = pause }) {
  let seconds = FIRST_WAIT;
  const progressed = () => (seconds = FIRST_WAIT);
  for (;;) {
    try {
      if (await attempt(progressed)) return;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (isFinal(error)) throw error;
    }
    onWait(seconds);
    await wait(seconds, signal);
    seconds = Math.min(seconds * 2, LONGEST_WAIT);
  }
}

/** Follow a job; calls onJob(job), onProgress(progress), onLive(), onWait(seconds). */
export function followJob(path, { signal, onJob, onProgress, onLive, onWait }) {
  return persist(
    async (progressed) => {
      const now = await getJson(path, { signal });
      progressed();
      onJob(now);
      if (hasEnded(now)) return true;
      const response = await request(`${path}events`, { signal });
      onLive();
      for await (const { event, data } of events(pieces(response))) {
        progressed();
        const value = JSON.parse(data);
        if (event === "progress") onProgress(value);
        if (event === "status") {
          onJob(value);
          if (hasEnded(value)) return true;
        }
      }
      return false;
    },
    { signal, onWait },
  );
}

/**
 * Follow the log of a job; a reconnection goes on after the last byte received.
 *
 * Returns {ended, reconnect}. A job may print nothing for hours, and so only others can
 * tell that the connection is lost: they call `reconnect`.
 */
export function followLog(path, { signal, onText, isOver, wait = pause }) {
  let received = 0;
  let connection = new AbortController();
  const decoder = new TextDecoder();
  const ended = persist(
    async (progressed) => {
      const over = isOver();
      connection = new AbortController();
      const either = AbortSignal.any([signal, connection.signal]);
      const response = await request(`${path}log?follow=1`, { signal: either });
      let skip = received;
      for await (const piece of pieces(response, Infinity)) {
        progressed();
        const fresh = piece.subarray(Math.min(skip, piece.length));
        skip -= Math.min(skip, piece.length);
        received += fresh.length;
        if (fresh.length) onText(decoder.decode(fresh, { stream: true }));
      }
      return over || isOver();
    },
    { signal, wait },
  );
  return { ended, reconnect: () => connection.abort(new Error("the connection is lost")) };
}

/** Fetch the metrics of a job when `wake` is called, not too often; onMetrics(metrics). */
export function metricsFetcher(path, { signal, onMetrics }) {
  let running = false;
  let again = false;
  async function wake() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        const began = performance.now();
        try {
          onMetrics(await getJson(`${path}metrics`, { signal }));
        } catch (error) {
          if (signal.aborted || isFinal(error)) return;
        }
        // A long history is asked for less often.
        const took = performance.now() - began;
        await pause(Math.max(METRICS_PAUSE, 20 * took) / 1000, signal);
      } while (again);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      running = false;
    }
  }
  return { wake };
}

/** Estimates the time that is left, from the latest reports of progress. */
export class Estimate {
  #seen = [];

  add({ step, date }) {
    const time = Date.parse(date) / 1000;
    if (typeof step !== "number" || Number.isNaN(time)) return;
    this.#seen.push([step, time]);
    if (this.#seen.length > 20) this.#seen.shift();
  }

  /** Return seconds, or null where nothing can be said. */
  left(total) {
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    if (!first || typeof total !== "number") return null;
    const [steps, seconds] = [last[0] - first[0], last[1] - first[1]];
    return steps > 0 && seconds > 0 ? ((total - last[0]) * seconds) / steps : null;
  }
}
