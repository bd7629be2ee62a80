// Several trainings over each other: a chart for each metric, a table of arguments.

import { getJson } from "./api.js";
import { chart, horizontal, lookControls, metricNames, summarise, swatch } from "./chart.js";
import { modelPath } from "./describe.js";
import { card, fill, h, scroller, tableOf } from "./dom.js";
import { hasEnded, isFinal, pause } from "./follow.js";
import { historyOf, showStatus } from "./jobs.js";
import { duration, M, num, when } from "./messages.js";
import { link } from "./models.js";

const PAUSE = 1.5;

/** Read the runs of an address: model/uuid, separated by commas. */
function runsOf(query) {
  const texts = (query.get("runs") ?? "").split(",").filter(Boolean);
  return texts.map((text) => {
    const at = text.lastIndexOf("/");
    return { model: decodeURIComponent(text.slice(0, Math.max(0, at))), uuid: text.slice(at + 1) };
  });
}

export function compareView(context, query) {
  context.title(M.compareTitle);
  const only = context.models.length === 1 ? context.models[0].name : "";
  const runs = runsOf(query).map(({ model, uuid }) => ({ model: model || only, uuid, job: null, metrics: null }));
  const controls = lookControls(draw, () => charts.forEach((one) => one.resetZoom()));
  const plots = h("div", { class: "charts" });
  const table = scroller(M.args);
  const problem = h("p", { class: "alert", hidden: true });
  const charts = new Map();
  const few = runs.length < 2 ? h("p", { class: "help" }, M.compareNeed) : null;
  const back = runs[0] && h("a", { class: "back", href: link(runs[0].model, "jobs") }, `← ${M.tabs.jobs} · ${runs[0].model}`);

  function draw() {
    const ready = runs.filter(({ metrics }) => metrics);
    const names = [...new Set(ready.flatMap(({ metrics }) => metricNames(metrics)))];
    for (const name of names) {
      if (!charts.has(name)) {
        charts.set(name, chart(name, { signal: context.signal }));
        plots.append(charts.get(name).element);
      }
      const lines = ready.filter(({ metrics }) => name in metrics).map(({ uuid, metrics }) => ({
        name: uuid.slice(0, 8),
        x: horizontal(metrics, controls.look.axis),
        y: metrics[name],
      }));
      charts.get(name).draw(lines, { ...controls.look });
    }
    fill(table, argumentTable(runs.filter(({ job }) => job), names));
  }

  async function load(run) {
    const path = modelPath(run.model, `train/${run.uuid}`);
    run.job = await getJson(path, { signal: context.signal });
    run.metrics = await historyOf(context, { name: run.model }, run.job);
  }

  async function watch() {
    while (!context.signal.aborted) {
      const open = runs.filter(({ job }) => !job || !hasEnded(job));
      if (!open.length) return;
      const found = await Promise.allSettled(document.hidden ? [] : open.map(load));
      if (context.signal.aborted) return;
      const failed = found.find(({ status }) => status === "rejected")?.reason;
      problem.hidden = !failed;
      problem.textContent = failed ? (failed.status === 404 ? M.gone : failed.message) : "";
      draw();
      if (failed && isFinal(failed) && !runs.some(({ job }) => job && !hasEnded(job))) return;
      await pause(PAUSE, context.signal).catch(() => {});
    }
  }

  watch();
  return h(
    "div",
    { class: "page" },
    h("div", { class: "head" }, back, h("h1", { tabindex: "-1" }, M.compareTitle), few),
    problem,
    card(M.curves, controls.element, plots),
    card(M.args, table),
  );
}

function argumentTable(runs, metrics) {
  const names = [...new Set(runs.flatMap(({ job }) => Object.keys(job.args ?? {})))];
  const head = runs.map(({ uuid, model, job }, at) => {
    const badge = h("span", { class: "badge" });
    showStatus(badge, job);
    return h("th", { scope: "col" }, swatch(at), h("a", { href: link(model, "train", uuid) }, uuid.slice(0, 8)), badge);
  });
  const row = (name, cells, marked = false) => {
    const differs = marked && new Set(cells).size > 1;
    return h("tr", { class: differs ? "differs" : "" }, h("th", { scope: "row" }, name), cells.map((text) => h("td", {}, text)));
  };
  const text = (value) => (value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : num(value));
  const lasts = metrics.map((name) => [name, runs.map(({ metrics: own }) => num(own?.[name] ? summarise(own[name], own.step).last : null))]);
  return tableOf("compare", [h("td"), head], [
    names.map((name) => row(name, runs.map(({ job }) => text(job.args?.[name])), true)),
    lasts.map(([name, cells]) => row(`${M.last} ${name}`, cells)),
    row(M.started, runs.map(({ job }) => when(job.date))),
    row(M.took, runs.map(({ job }) => (job.result ? duration(job.result.duration) : "–"))),
  ]);
}
