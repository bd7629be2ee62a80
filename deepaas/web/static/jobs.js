// The list of a model's trainings, and of the predictions that this tab has begun.

import { getJson } from "./api.js";
import { metricNames, summarise } from "./chart.js";
import { fill, h } from "./dom.js";
import { hasEnded, pause } from "./follow.js";
import { ago, duration, M, num, when } from "./messages.js";
import { modelPath } from "./describe.js";
import { link, modelHead } from "./models.js";
import { sparkline } from "./sparkline.js";
import { rememberedJobs } from "./storage.js";

const PAGE = 20;

/** Seconds between two looks at the list: while something runs, and else. */
const PAUSE = { running: 1.5, idle: 5 };

const STATUSES = ["running", "queued", "done", "error", "cancelled"];

const histories = new Map();

export async function jobsView(context, model, query) {
  context.title(`${M.tabs.jobs} ${model.name}`);
  const status = query.get("status") ?? "";
  const offset = Number(query.get("offset")) || 0;
  const filters = ["", ...STATUSES].map((one) =>
    h(
      "a",
      { href: `${link(model.name, "jobs")}${one ? `?status=${one}` : ""}`, "aria-current": one === status ? "true" : null },
      one ? M.jobStatus(one) : M.all,
    ),
  );
  const trainings = model.train && h(
    "section",
    { class: "card" },
    h("div", { class: "card-head" }, h("h2", {}, M.trainings), h("nav", { class: "segmented", "aria-label": M.trainings }, filters)),
    jobTable(context, model, { status, offset, limit: PAGE }),
  );
  const background = rememberedJobs(model.name);
  const predictions = model.predict && background.length > 0 && h(
    "section",
    { class: "card" },
    h("h2", {}, M.backgroundJobs),
    predictionList(context, model, background),
  );
  return h("div", { class: "page" }, modelHead(context, model, "jobs"), trainings, predictions);
}

/** Return a table of trainings that keeps itself up to date while it is seen. */
export function jobTable(context, model, { status = "", offset = 0, limit, compact = false }) {
  const rows = new Map();
  const chosen = new Set();
  const body = h("tbody");
  const empty = h("p", { class: "empty", hidden: true }, status ? M.noneWith(status) : M.noTrainings);
  const problem = h("p", { class: "alert", hidden: true });
  const compare = h("a", { class: "button", hidden: true });
  const titles = compact ? ["", M.started, M.progress, M.metric] : ["", M.started, M.took, M.progress, M.metric, M.differs];
  const heads = titles.map((title) => h("th", { scope: "col" }, title || h("span", { class: "visually-hidden" }, M.jobStatus(""), "Status")));
  const table = h("table", { class: "jobs", hidden: true }, h("thead", {}, h("tr", {}, heads)), body);
  const pages = h("p", { class: "actions" });
  const path = modelPath(model.name, "train/");

  function choose(uuid, on) {
    if (on) chosen.add(uuid);
    else chosen.delete(uuid);
    compare.hidden = chosen.size < 2;
    compare.textContent = M.compare(chosen.size);
    const runs = [...chosen].map((one) => `${encodeURIComponent(model.name)}/${one}`).join(",");
    compare.setAttribute("href", `#/compare?runs=${encodeURIComponent(runs)}`);
  }

  async function update() {
    const search = new URLSearchParams({ limit: limit + 1, offset });
    if (status) search.set("status", status);
    const found = await getJson(`${path}?${search}`, { signal: context.signal });
    const shown = found.slice(0, limit);
    const common = commonArguments(shown);
    const elements = shown.map((job) => {
      if (!rows.has(job.uuid)) rows.set(job.uuid, jobRow(context, model, job, { choose, compact }));
      const row = rows.get(job.uuid);
      row.update(job, common);
      return row.element;
    });
    const same = elements.length === body.children.length && elements.every((one, at) => one === body.children[at]);
    if (!same) body.replaceChildren(...elements);
    table.hidden = !shown.length;
    empty.hidden = shown.length > 0;
    problem.hidden = true;
    if (!compact) fill(pages, pageLink(offset - limit, M.newer, offset > 0), pageLink(offset + limit, M.older, found.length > limit));
    return shown.some((job) => !hasEnded(job));
  }

  function pageLink(to, label, present) {
    if (!present) return null;
    const search = new URLSearchParams({ ...(status ? { status } : {}), offset: Math.max(0, to) });
    return h("a", { class: "button", href: `${link(model.name, "jobs")}?${search}` }, label);
  }

  keepUpdated(context.signal, update, (error) => {
    problem.hidden = false;
    problem.textContent = error.message;
  });
  return h("div", {}, problem, empty, h("div", { class: "scroll" }, table), h("div", { class: "actions" }, compare), pages);
}

async function keepUpdated(signal, update, onerror) {
  while (!signal.aborted) {
    let running = true;
    try {
      if (!document.hidden) running = await update();
    } catch (error) {
      if (signal.aborted) return;
      onerror(error);
    }
    try {
      await pause(running ? PAUSE.running : PAUSE.idle, signal);
    } catch {
      return;
    }
  }
}

function commonArguments(jobs) {
  const [first, ...rest] = jobs.map(({ args }) => args ?? {});
  if (!rest.length) return new Set();
  const same = (name) => rest.every((args) => JSON.stringify(args[name]) === JSON.stringify(first[name]));
  return new Set(Object.keys(first).filter(same));
}

function jobRow(context, model, first, { choose, compact }) {
  const { uuid } = first;
  const name = M.training(uuid);
  const check = h("input", { type: "checkbox", "aria-label": M.select(name), onchange: () => choose(uuid, check.checked) });
  const badge = h("span", { class: "badge" });
  const started = h("td", { "data-title": M.started });
  const took = h("td", { class: "number", "data-title": M.took });
  const progress = h("td", { "data-title": M.progress });
  const metric = h("td", { "data-title": M.metric });
  const args = h("td", { class: "args", "data-title": M.differs });
  const href = link(model.name, "train", uuid);
  const head = h("td", { class: "job-name" }, h("label", { class: "pick" }, check), h("a", { href }, uuid.slice(0, 8)), badge);
  const cells = compact ? [head, started, progress, metric] : [head, started, took, progress, metric, args];
  const element = h("tr", {}, cells);
  let seen = "";

  function update(job, common) {
    const now = JSON.stringify([job, [...common]]);
    const date = ago(job.date);
    if (started.textContent !== date) fill(started, h("time", { datetime: job.date, title: when(job.date) }, date));
    if (now === seen) return;
    seen = now;
    showStatus(badge, job);
    fill(took, job.result ? duration(job.result.duration) : "–");
    fill(progress, progressOf(job));
    fill(args, argumentsOf(job, common));
    showMetric(context, model, job, metric);
  }
  return { element, update };
}

/** Show the status of a job on its badge. */
export function showStatus(badge, job) {
  badge.dataset.status = job.status;
  badge.textContent = M.jobStatus(job.status);
}

function progressOf({ status, progress }) {
  if (!progress) return "–";
  const { step, total } = progress;
  const text = total ? `${num(step)} / ${num(total)}` : num(step);
  const running = status === "running" && total;
  return [
    running ? h("progress", { max: total, value: String(Math.max(0, Math.min(step, total))), "aria-label": M.progress }) : null,
    h("span", { class: "number" }, text),
  ];
}

function argumentsOf({ args }, common) {
  const all = Object.entries(args ?? {});
  const differing = all.some(([name]) => !common.has(name)) ? all.filter(([name]) => !common.has(name)) : all;
  return differing.slice(0, 6).map(([name, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value) : num(value);
    return h("span", { class: "fact" }, `${name} ${text.length > 24 ? `${text.slice(0, 23)}…` : text}`);
  });
}

async function showMetric(context, model, job, place) {
  const names = Object.keys(job.progress?.metrics ?? {});
  if (!names.length) return fill(place, "–");
  const [name] = names;
  const value = h("span", { class: "number" }, `${name} ${num(job.progress.metrics[name])}`);
  if (!place.querySelector("svg")) fill(place, value);
  try {
    const history = await historyOf(context, model, job);
    const values = history[name] ?? history[metricNames(history)[0]] ?? [];
    const { low } = summarise(values, history.step);
    value.title = `${M.lowest} ${num(low)}`;
    fill(place, sparkline(values), value);
  } catch {
    // the number alone will do
  }
  return place;
}

/** Return the metrics of a job; those of one that has ended are fetched once. */
export async function historyOf(context, model, job) {
  const key = `${model.name}/${job.uuid}`;
  if (histories.has(key)) return histories.get(key);
  const path = modelPath(model.name, `train/${job.uuid}/metrics`);
  const history = await getJson(path, { signal: context.signal });
  if (hasEnded(job)) histories.set(key, history);
  return history;
}

function predictionList(context, model, uuids) {
  const items = uuids.map((uuid) => {
    const badge = h("span", { class: "badge" });
    const started = h("span", { class: "help" });
    const item = h("li", {}, h("a", { href: link(model.name, "predict", uuid) }, uuid.slice(0, 8)), " ", badge, " ", started);
    getJson(modelPath(model.name, `predict/${uuid}`), { signal: context.signal }).then(
      (job) => {
        showStatus(badge, job);
        started.textContent = ago(job.date);
      },
      () => item.remove(),
    );
    return item;
  });
  return h("ul", { class: "plain" }, items);
}
