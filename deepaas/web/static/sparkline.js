// Draws a small curve without axes, for a row of a table.

import { svg } from "./dom.js";

const [WIDTH, HEIGHT] = [96, 24];

/** Return the drawing of these values, or null where there are not two. */
export function sparkline(values) {
  const points = values.map((y, x) => [x, y]).filter(([, y]) => typeof y === "number");
  if (points.length < 2) return null;
  const ys = points.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const across = (x) => ((x / (values.length - 1)) * (WIDTH - 2) + 1).toFixed(1);
  const down = (y) => ((1 - (y - low) / (high - low || 1)) * (HEIGHT - 4) + 2).toFixed(1);
  const line = points.map(([x, y]) => `${across(x)},${down(y)}`).join(" ");
  const props = { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" };
  return svg("svg", props, svg("polyline", { points: line }));
}
