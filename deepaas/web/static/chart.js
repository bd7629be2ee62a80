// Draws metrics as curves with uPlot, which is loaded when it is first needed.

import { fill, h, tickBox } from "./dom.js";
import { M, num } from "./messages.js";

// Okabe and Ito's colours, told apart by nearly all eyes, and lighter ones for a dark
// page; each has dashes of its own.
const COLOURS = {
  light: ["#0072b2", "#d55e00", "#00805c", "#b8508f", "#8a6d00", "#5b4bd1", "#6b7280", "#a03a3a"],
  dark: ["#56b4e9", "#ff9a57", "#4fd0a5", "#e6a1cb", "#f0d442", "#b3a8ff", "#b4bcc8", "#ff8f8f"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 6], [1, 4], [14, 4, 4, 4]];

const isDark = (element) =>
  getComputedStyle(element).colorScheme === "dark" ||
  (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

/** Return the mark of a line in a legend. */
export function swatch(index) {
  const at = index % COLOURS.light.length;
  const css = { "--colour": COLOURS.light[at], "--dark-colour": COLOURS.dark[at] };
  return h("span", { class: `swatch dash-${at}`, css });
}

const RESERVED = ["date", "step", "total"];

const HEIGHT = 240;

let loading = null;

/** Load uPlot; a script element cloned from a template needs no trusted type. */
function loadPlot() {
  loading ??= new Promise((resolve, reject) => {
    const copy = document.importNode(document.getElementById("plot").content, true);
    const script = copy.querySelector("script");
    script.addEventListener("load", () => resolve(globalThis.uPlot));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("uPlot could not be loaded"));
    });
    document.head.append(copy);
  });
  return loading;
}

/** Return the names of the metrics in a history. */
export const metricNames = (metrics) => Object.keys(metrics).filter((name) => !RESERVED.includes(name));

/** Put metrics that end in the same word into one group: loss and val_loss. */
export function grouped(names) {
  const groups = new Map();
  for (const name of names) {
    const base = names.filter((other) => name === other || /[_./ -]/.test(name.at(-other.length - 1)) && name.endsWith(other));
    const key = base.reduce((a, b) => (b.length < a.length ? b : a), name);
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  return groups;
}

/** Smooth values by an exponential mean without the bias of its start; null stays. */
export function smooth(values, weight) {
  if (!weight) return values;
  let mean = 0;
  let bias = 1;
  return values.map((value) => {
    if (typeof value !== "number") return null;
    mean = mean * weight + value * (1 - weight);
    bias *= weight;
    return mean / (1 - bias);
  });
}

/** Return the x of each point: "step", "elapsed" (seconds) or "date" (seconds). */
export function horizontal(metrics, axis) {
  const times = metrics.date.map((date) => Date.parse(date) / 1000);
  if (axis === "date") return times;
  if (axis === "elapsed") return times.map((time) => time - times[0]);
  return metrics.step.map((step, index) => step ?? index);
}

/** Return {count, last, low, lowAt, high, highAt} of the numbers of a metric. */
export function summarise(values, steps) {
  const found = { count: 0, last: null, low: null, lowAt: null, high: null, highAt: null };
  values.forEach((value, index) => {
    if (typeof value !== "number") return;
    found.count += 1;
    found.last = value;
    const step = steps[index] ?? index;
    if (found.low === null || value < found.low) Object.assign(found, { low: value, lowAt: step });
    if (found.high === null || value > found.high) Object.assign(found, { high: value, highAt: step });
  });
  return found;
}

/**
 * Join lines that have an x each into the columns that uPlot takes.
 *
 * `lines` is [{x, y}]; returns [xs, ...ys], xs ascending. What a line has not is
 * undefined, which uPlot draws through; null is a gap.
 */
export function joined(lines) {
  const xs = [...new Set(lines.flatMap(({ x }) => x))].filter(Number.isFinite).sort((a, b) => a - b);
  const index = new Map(xs.map((x, at) => [x, at]));
  const columns = lines.map(({ x, y }) => {
    const column = new Array(xs.length).fill(undefined);
    x.forEach((one, at) => {
      if (index.has(one)) column[index.get(one)] = y[at] ?? null;
    });
    return column;
  });
  return [xs, ...columns];
}

// A logarithm is of numbers above zero only.
const positive = (values) => values.map((value) => (typeof value === "number" && value <= 0 ? null : value));

/**
 * Return a chart: {element, draw}. `draw(lines, look)` takes lines {name, x, y, raw?}
 * and look {axis, logX, logY, smoothing}.
 */
export function chart(title, { signal, sync = "deepaas" }) {
  const place = h("div", { class: "plot", role: "img", "aria-label": title });
  const legend = h("ul", { class: "legend" });
  const element = h("section", { class: "chart" }, h("h3", {}, title), place, legend);
  const hidden = new Set();
  let plot = null;
  let shape = "";
  let latest = null;
  let timer = null;
  let drawn = 0;

  const observer = new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: HEIGHT }));
  observer.observe(place);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    clearTimeout(timer);
    plot?.destroy();
  });
  const redraw = () => !document.hidden && latest && later();
  document.addEventListener("visibilitychange", redraw, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle, { signal });
  document.addEventListener("themechange", restyle, { signal });

  function restyle() {
    shape = "";
    if (latest) later();
  }

  function draw(lines, look) {
    latest = [lines, look];
    if (!document.hidden) later();
  }

  function later() {
    timer ??= setTimeout(now, Math.max(0, drawn + 200 - performance.now()));
  }

  async function now() {
    const uPlot = await loadPlot();
    timer = null;
    drawn = performance.now();
    if (signal.aborted) return;
    const [lines, look] = latest;
    const smoothed = lines.map(({ x, y }) => ({ x, y: smooth(y, look.smoothing) }));
    const raw = look.smoothing ? lines : [];
    const data = joined([...smoothed, ...raw]);
    const [xs, ...ys] = data;
    const columns = [look.logX ? positive(xs) : xs, ...(look.logY ? ys.map(positive) : ys)];
    const wanted = JSON.stringify([lines.map(({ name }) => name), look, [...hidden], isShort(lines)]);
    if (wanted !== shape) {
      shape = wanted;
      plot?.destroy();
      plot = new uPlot(options(uPlot, lines, look, raw.length > 0), columns, place);
      drawLegend(lines);
    } else {
      plot.setData(columns, !zoomed());
    }
    describe(lines);
    showValues(null);
  }

  function zoomed() {
    const [xs] = plot.data;
    const { min, max } = plot.scales.x;
    return place.dataset.zoomed === "1" && xs.length > 1 && (min > xs[0] || max < xs.at(-1));
  }

  function options(uPlot, lines, look, withRaw) {
    const ink = getComputedStyle(element);
    const colours = COLOURS[isDark(element) ? "dark" : "light"];
    const axis = { stroke: ink.color, grid: { stroke: ink.borderColor, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const dot = isShort(lines);
    const series = lines.map(({ name }, at) => ({
      label: name,
      stroke: colours[at % colours.length],
      dash: DASHES[at % DASHES.length],
      width: 2,
      points: { show: dot },
      show: !hidden.has(name),
    }));
    const faint = withRaw
      ? lines.map(({ name }, at) => ({ label: `${name} (raw)`, stroke: `${colours[at % colours.length]}40`, width: 1.5, points: { show: false }, show: !hidden.has(name) }))
      : [];
    return {
      width: Math.max(200, place.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: sync }, drag: { x: true, y: false } },
      scales: { x: { time: look.axis === "date", distr: look.logX ? 3 : 1 }, y: { distr: look.logY ? 3 : 1, range: look.logY ? undefined : padded } },
      axes: [
        { ...axis, size: 26, values: look.axis === "date" ? undefined : (u, splits) => splits.map((one) => (one === null ? "" : num(one))) },
        { ...axis, size: 64, values: (u, splits) => splits.map((one) => (one === null ? "" : num(one))) },
      ],
      series: [{}, ...series, ...faint],
      hooks: {
        setCursor: [(u) => showValues(u.cursor.idx)],
        setSelect: [(u) => (place.dataset.zoomed = u.select.width > 0 ? "1" : "0")],
      },
    };
  }

  function drawLegend(lines) {
    const items = lines.map(({ name }, at) => {
      const toggle = () => {
        if (!hidden.delete(name)) hidden.add(name);
        button.setAttribute("aria-pressed", String(!hidden.has(name)));
        plot.setSeries(at + 1, { show: !hidden.has(name) });
        if (latest[1].smoothing) plot.setSeries(lines.length + at + 1, { show: !hidden.has(name) });
      };
      const button = h(
        "button",
        { type: "button", class: "series", onclick: toggle, "aria-pressed": String(!hidden.has(name)) },
        swatch(at),
        h("span", {}, name),
        h("span", { class: "number" }),
      );
      return h("li", {}, button);
    });
    fill(legend, items);
  }

  function showValues(index) {
    const [lines] = latest;
    [...legend.querySelectorAll(".number")].forEach((place, at) => {
      const column = plot.data[at + 1] ?? [];
      const value = index === null || index === undefined ? lastOf(lines[at]?.y) : column[index];
      place.textContent = num(value);
    });
  }

  function describe(lines) {
    const texts = lines.map(({ name, x, y }) => {
      const { count, last, low, lowAt } = summarise(y, x);
      return M.summary(name, count, last, low, lowAt);
    });
    place.setAttribute("aria-label", texts.join("; "));
  }

  function resetZoom() {
    if (!plot) return;
    place.dataset.zoomed = "0";
    plot.setData(plot.data, true);
  }

  place.addEventListener("dblclick", () => (place.dataset.zoomed = "0"));
  return { element, draw, resetZoom };
}

// A line of one point would not be seen: it is drawn as a dot.
const isShort = (lines) => lines.some(({ y }) => y.filter((one) => one !== null).length < 2);

const lastOf = (values = []) => values.findLast((value) => typeof value === "number") ?? null;

function padded(plot, low, high) {
  if (low === null || high === null) return [0, 1];
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - margin, high + margin];
}

/** Return the switches of charts: {element, look}. */
export function lookControls(onchange, onreset) {
  const look = { axis: "step", logX: false, logY: false, smoothing: 0 };
  const change = (name, value) => {
    look[name] = value;
    onchange();
  };
  const axes = Object.entries(M.x).map(([value, label]) => h("option", { value }, label));
  const axis = h("select", { "aria-label": M.xAxis, onchange: () => change("axis", axis.value) }, axes);
  const flag = (name, label) => tickBox(label, (on) => change(name, on)).element;
  const value = h("output", {}, "0");
  const slider = h("input", {
    type: "range", min: 0, max: 0.99, step: 0.01, value: 0, "aria-label": M.smoothing,
    oninput: () => {
      value.textContent = slider.value;
      change("smoothing", Number(slider.value));
    },
  });
  const element = h(
    "div",
    { class: "tools" },
    h("label", { class: "choice small" }, M.xAxis, axis),
    h("span", { class: "flags" }, flag("logX", M.logX), flag("logY", M.logY)),
    h("label", { class: "choice small smoothing" }, M.smoothing, slider, value),
    h("button", { type: "button", class: "quiet reset-zoom", onclick: onreset }, M.resetZoom),
  );
  return { element, look };
}

