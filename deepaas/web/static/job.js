// One job, as it happens: status, progress, curves, log, arguments and result.

import { address, getJson, hasToken, request } from "./api.js";
import { chart, grouped, horizontal, lookControls, metricNames, summarise } from "./chart.js";
import { modelPath } from "./describe.js";
import { announce, button, card, copyButton, download, fill, h, scroller, switched, tableOf } from "./dom.js";
import { Estimate, followJob, followLog, hasEnded, metricsFetcher } from "./follow.js";
import { showStatus } from "./jobs.js";
import { tree } from "./json.js";
import { logView } from "./log.js";
import { ago, duration, M, num, when } from "./messages.js";
import { link } from "./models.js";
import { followSnippets } from "./follow_snippet.js";
import { failureBox } from "./failure.js";

export async function jobView(context, model, kind, uuid) {
  const path = modelPath(model.name, `${kind}/${encodeURIComponent(uuid)}/`);
  const name = kind === "train" ? M.training(uuid) : M.prediction(uuid);
  context.title(name);
  let job;
  try {
    job = await getJson(path, { signal: context.signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, name), h("p", { class: "alert" }, M.gone), backLink(model));
  }
  const view = { context, model, kind, uuid, path, name, job };
  const head = headOf(view);
  const curves = curvesOf(view);
  const log = logOf(view);
  const side = sideOf(view);
  const result = kind === "predict" ? resultOf(view) : null;
  const onJob = (now) => {
    view.job = now;
    for (const part of [head, curves, side, result]) part?.update(now);
    if (now.progress) onProgress(now.progress);
  };
  const onProgress = (progress) => {
    head.progress(progress);
    curves.progress(progress);
  };
  onJob(job);
  log.follow(() => hasEnded(view.job));
  follow(view, { head, log, onJob, onProgress });
  return h(
    "div",
    { class: "page job" },
    head.element,
    result?.element,
    h("div", { class: "columns wide" }, h("div", { class: "stack" }, curves.element, log.element), side.element),
  );
}

const backLink = (model) => h("a", { class: "back", href: link(model.name, "jobs") }, `← ${M.tabs.jobs} · ${model.name}`);

async function follow(view, { head, log, onJob, onProgress }) {
  const { context: { signal }, path, name } = view;
  if (hasEnded(view.job)) return;
  let seen = view.job.status;
  const told = (now) => {
    onJob(now);
    if (hasEnded(now) && !hasEnded({ status: seen })) notify(M.ended(name, now.status));
    seen = now.status;
  };
  const onWait = (seconds) => {
    head.lost(seconds);
    log.reconnect();
  };
  try {
    await followJob(path, { signal, onJob: told, onProgress, onLive: () => head.live(), onWait });
  } catch (error) {
    if (!signal.aborted) head.failed(error.status === 404 ? M.gone : error.message);
  }
}

function notify(text) {
  announce(text);
  if (globalThis.Notification?.permission === "granted" && document.hidden) new Notification(text);
}

function headOf(view) {
  const { context, model, name, path, kind } = view;
  const badge = h("span", { class: "badge", role: "status" });
  const link_ = h("span", { class: "link-state" });
  const facts = h("p", { class: "facts" });
  const bar = h("progress", { "aria-label": M.progress });
  const text = h("p", { class: "progress-text" });
  const message = h("p", { class: "alert", role: "alert", hidden: true });
  const estimate = new Estimate();
  const end = button("", () => askToEnd(view), {});
  const bell = "Notification" in globalThis && Notification.permission === "default"
    ? button(M.notify, askToNotify, { class: "quiet", picture: "bell" })
    : null;
  const again = h("a", { class: "button quiet" }, M.again);
  const element = h(
    "div",
    { class: "head" },
    backLink(model),
    h("div", { class: "head-title" }, h("h1", { tabindex: "-1" }, name), badge, link_),
    facts,
    message,
    h("div", { class: "progress-line" }, bar, text),
    h("div", { class: "actions" }, end, again, bell),
  );

  async function askToNotify() {
    const answer = await Notification.requestPermission();
    bell.lastChild.textContent = answer === "granted" ? M.notified : M.notify;
  }

  function update(job) {
    showStatus(badge, job);
    const ended = hasEnded(job);
    if (ended) link_.textContent = "";
    const took = job.result && duration(job.result.duration);
    fill(
      facts,
      h("span", { class: "fact" }, model.name),
      h("span", { class: "fact", title: when(job.date) }, `${M.started} ${ago(job.date)}`),
      took ? h("span", { class: "fact" }, `${M.took} ${took}`) : null,
    );
    message.hidden = !job.message;
    message.textContent = job.message ?? "";
    end.lastChild.textContent = ended ? M.deleteJob : M.cancelJob;
    end.classList.toggle("danger", !ended);
    if (bell) bell.hidden = ended;
    const values = encodeURIComponent(JSON.stringify(job.args ?? {}));
    again.href = `${kind === "train" ? link(model.name, "train") : link(model.name)}?values=${values}`;
    bar.hidden = ended;
    if (!job.progress) {
      bar.removeAttribute("value");
      text.textContent = ended ? "" : job.status === "queued" ? M.queuedText : M.startingText;
    }
    title(job);
  }

  function progress({ step, total, date }) {
    estimate.add({ step, date });
    const running = !hasEnded(view.job);
    bar.hidden = !total || !running;
    if (total) {
      bar.max = total;
      bar.value = Math.max(0, Math.min(step ?? 0, total));
    }
    const left = running ? estimate.left(total) : null;
    text.textContent = M.step(step, total) + (left === null ? "" : ` · ${M.left(duration(left))}`);
    view.job = { ...view.job, progress: { ...view.job.progress, step, total } };
    title(view.job);
    if (running) announce(text.textContent);
  }

  function title(job) {
    const { step, total } = job.progress ?? {};
    const percent = total && job.status === "running" ? `▶ ${Math.round((100 * step) / total)} % · ` : "";
    context.title(`${percent || `${M.jobStatus(job.status)} · `}${name}`);
  }

  return {
    element,
    update,
    progress,
    live() {
      link_.dataset.look = "good";
      link_.textContent = M.live;
    },
    lost(seconds) {
      link_.dataset.look = "warn";
      link_.textContent = M.reconnecting(seconds);
    },
    failed(words) {
      message.hidden = false;
      message.textContent = words;
    },
  };
}

function askToEnd({ job, name, path, model }) {
  const ended = hasEnded(job);
  const problem = h("p", { class: "field-error", role: "alert" });
  const go = button(ended ? M.deleteIt : M.cancelIt, end, { class: "primary danger" });
  const dialog = h(
    "dialog",
    { "aria-label": ended ? M.deleteJob : M.cancelJob },
    h("p", {}, ended ? M.deleteAsk(name) : M.cancelAsk(name)),
    problem,
    h("div", { class: "actions end" }, button(M.keep, () => dialog.close()), go),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  async function end() {
    go.disabled = true;
    try {
      await request(path, { method: "DELETE" });
      dialog.close();
      if (ended) location.hash = link(model.name, "jobs");
    } catch (error) {
      problem.textContent = error.message;
      go.disabled = false;
    }
  }
}

// -- curves

function curvesOf(view) {
  const { context: { signal }, path, name } = view;
  const controls = lookControls(draw, () => charts.forEach((one) => one.resetZoom()));
  const empty = h("p", { class: "empty" }, M.noMetricsYet);
  const plots = h("div", { class: "charts" });
  const numbers = scroller(M.metric);
  const csv = button(M.csv, saveCsv, { class: "quiet", picture: "down" });
  const more = h("div", { hidden: true }, controls.element, plots, numbers, h("div", { class: "flush" }, csv));
  const element = card(M.curves, empty, more);
  const charts = new Map();
  const fetcher = metricsFetcher(path, { signal, onMetrics });
  let history = null;
  let later = [];

  function onMetrics(found) {
    history = found;
    const last = found.date.at(-1) ?? "";
    later = later.filter(({ date }) => date > last);
    draw();
  }

  /** Return the history, with the reports that came after it. */
  function whole() {
    const base = history ?? { date: [], step: [], total: [] };
    if (!later.length) return base;
    const names = new Set([...Object.keys(base), ...later.flatMap(({ metrics }) => Object.keys(metrics ?? {}))]);
    const past = base.date.length;
    return Object.fromEntries([...names].map((one) => {
      const before = base[one] ?? new Array(past).fill(null);
      const own = (report) => (["date", "step", "total"].includes(one) ? report[one] : report.metrics?.[one]) ?? null;
      return [one, [...before, ...later.map(own)]];
    }));
  }

  function progress(report) {
    const last = later.at(-1)?.date ?? history?.date.at(-1) ?? "";
    if (report.date > last) later.push(report);
    if (history) draw();
    fetcher.wake();
  }

  function draw() {
    const metrics = whole();
    const names = metricNames(metrics);
    more.hidden = !names.length;
    empty.hidden = names.length > 0;
    element.dataset.points = String(metrics.date.length);
    const x = metrics.date.length ? horizontal(metrics, controls.look.axis) : [];
    for (const [title, members] of grouped(names)) {
      if (!charts.has(title)) {
        charts.set(title, chart(title, { signal }));
        plots.append(charts.get(title).element);
      }
      charts.get(title).draw(members.map((one) => ({ name: one, x, y: metrics[one] })), { ...controls.look });
    }
    fill(numbers, metricTable(metrics, names));
  }

  function saveCsv() {
    const metrics = whole();
    const columns = ["step", "total", "date", ...metricNames(metrics)];
    const rows = metrics.date.map((_, at) => columns.map((one) => csvCell(metrics[one][at])).join(","));
    const text = [columns.map(csvCell).join(","), ...rows].join("\r\n");
    download(new Blob([`${text}\r\n`], { type: "text/csv" }), `${name.replace(" ", "-")}.csv`);
  }

  function update(job) {
    if (!hasEnded(job)) return;
    empty.textContent = M.noMetrics;
    fetcher.wake();
  }

  return { element, update, progress };
}

const csvCell = (value) => {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

function metricTable(metrics, names) {
  const rows = names.map((name) => {
    const { last, low, lowAt, high, highAt } = summarise(metrics[name], metrics.step);
    const cells = [num(last), M.atStep(low, lowAt), M.atStep(high, highAt)];
    return h("tr", {}, h("th", { scope: "row" }, name), cells.map((text) => h("td", { class: "number" }, text)));
  });
  const heads = [M.metric, M.last, M.lowest, M.highest].map((title) => h("th", { scope: "col" }, title));
  return tableOf("numbers", heads, rows);
}

// -- log

function logOf(view) {
  const { context: { signal }, path, uuid } = view;
  const log = logView({ onDownload: save });
  const problem = h("p", { class: "alert", hidden: true });
  async function save() {
    const response = await request(`${path}log`);
    download(await response.blob(), `${uuid}.log`);
  }
  let connection = null;
  async function follow(isOver) {
    connection = followLog(path, { signal, onText: log.add, isOver });
    try {
      await connection.ended;
    } catch (error) {
      if (signal.aborted) return;
      problem.hidden = false;
      problem.textContent = error.message;
    }
  }
  return { element: card(M.log, problem, log.element), follow, reconnect: () => connection.reconnect() };
}

// -- arguments, returned value, code

function sideOf(view) {
  const { path, kind } = view;
  const args = h("dl", { class: "pairs" });
  const returned = h("section", { class: "card", hidden: true });
  const snippets = followSnippets(address(path), { kind, token: hasToken() });
  const code = switched(snippets.map(([label, text]) => [label, () => codeBlock(text)]));
  const element = h(
    "aside",
    { class: "stack" },
    card(M.args, args),
    returned,
    h("section", { class: "card snippet" }, h("h2", {}, M.code), code),
  );
  let shown = "";
  function update(job) {
    const now = JSON.stringify([job.args, job.result]);
    if (now === shown) return;
    shown = now;
    const entries = Object.entries(job.args ?? {});
    fill(args, entries.length ? entries.map(pair) : h("dd", { class: "help" }, M.noArguments));
    returned.hidden = job.result?.output === undefined || kind === "predict";
    if (!returned.hidden) fill(returned, h("h2", {}, M.returned), tree(job.result.output));
  }
  return { element, update };
}

const pair = ([name, value]) => [
  h("dt", {}, name),
  h("dd", {}, typeof value === "object" && value !== null ? tree(value) : String(value ?? "–")),
];

const codeBlock = (text) =>
  h("div", {}, h("pre", { class: "text code wrap", tabindex: "0" }, text), h("div", { class: "flush" }, copyButton(M.copy, text, M.copied)));

// -- the result of a prediction

function resultOf({ context, path, model }) {
  const element = h("section", { class: "card output", hidden: true });
  let asked = false;
  async function update(job) {
    if (asked || job.status !== "done" && job.status !== "error") return;
    asked = true;
    element.hidden = false;
    try {
      const response = await request(`${path}result`, { signal: context.signal });
      const blob = await response.blob();
      const { answerActions, nameOf, showAnswer } = await import("./result.js");
      const name = nameOf(response, model.name);
      const shown = await showAnswer(blob, name, M.resultOf(model.name));
      fill(element, h("div", { class: "card-head" }, h("h2", {}, M.output), answerActions(blob, name)), shown);
    } catch (error) {
      if (!context.signal.aborted) fill(element, h("h2", {}, M.failed), failureBox(error));
    }
  }
  return { element, update };
}
