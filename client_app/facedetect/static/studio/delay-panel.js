/** The panel "Delay": a chart of the last minute and a table of the last seconds. It is loaded when it is first unfolded. */

import uPlot from "../vendor/uplot/uPlot.min.js";
import { History, SECONDS, STAGES, split } from "./delay.js";

const HEIGHT = 140;
const DRAW_EVERY_MS = 1_000;
const TABLE_SECONDS = 5;
const FONT = "11px system-ui, sans-serif";

/**
 * @param {HTMLDetailsElement} panel
 * @param {import("./studio.js").Studio} studio
 */
export async function open(panel, studio) {
  const history = new History();
  studio.addEventListener("numbers", ({ detail }) => history.add(split(detail.times, detail.timings), performance.now()));
  await Promise.all(panel.dataset.styles.split(" ").map(loadStyle));
  const rows = STAGES.map((stage) => panel.querySelector(`[data-stage=${stage}]`));
  const chart = draw(panel.querySelector(".chart"), rows);
  const total = panel.querySelector("tfoot td");
  const update = () => {
    if (!panel.open) return;
    const now = performance.now();
    const [ages, ...stages] = history.columns(now);
    chart.setData([ages, ...stages.reverse()]);
    const means = history.mean(TABLE_SECONDS, now);
    rows.forEach((row, place) => (row.querySelector("td").textContent = means ? means[place].toFixed(1) : "–"));
    total.textContent = means ? means.reduce((sum, part) => sum + part).toFixed(1) : "–";
  };
  setInterval(update, DRAW_EVERY_MS);
  panel.addEventListener("toggle", update);
}

function loadStyle(href) {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  return new Promise((loaded, failed) => {
    link.addEventListener("load", loaded);
    link.addEventListener("error", failed);
    document.head.append(link);
  });
}

/** The stages as areas from the highest sum to the lowest, each painted over the one before, in the colours of their `rows`. */
function draw(place, rows) {
  const ink = () => getComputedStyle(place).color;
  const line = () => getComputedStyle(place).borderBlockEndColor;
  const area = (row) => ({ fill: getComputedStyle(row).getPropertyValue("--stage"), width: 0, points: { show: false } });
  const axis = { font: FONT, stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [1 - SECONDS, 0] }, y: { range: (_, __, most) => [0, Math.max(10, (most ?? 0) * 1.1)] } },
    axes: [
      { ...axis, size: 24, values: (_, ages) => ages.map((age) => `${age} s`) },
      { ...axis, values: (_, delays) => delays.map((delay) => `${delay} ms`), size: 52 },
    ],
    series: [{}, ...rows.map(area).reverse()],
  };
  const chart = new uPlot(options, [[], ...rows.map(() => [])], place);
  new ResizeObserver(() => place.clientWidth && chart.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  return chart;
}
