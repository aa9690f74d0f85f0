/** The charts: a figure each, with its current values, a line for each series, and a summary. */
import { HEIGHT, nearest, niceMaximum, pathOf, spanOf, summaryOf, WIDTH } from "./curve.ts";
import { byId, element, setText } from "./dom.ts";
import { bytesPerSecond, count, latency, rate, time } from "./format.ts";
import type { Point } from "./history.ts";
import { makeTable } from "./table.ts";

type Value = Exclude<keyof Point, "at">;

interface Series {
  readonly name: string;
  readonly value: Value;
  /** It takes the place of the others of its chart where they are not known. */
  readonly isSubstitute?: boolean;
}

interface Chart {
  readonly title: string;
  readonly series: readonly Series[];
  readonly format: (value: number | undefined) => string;
  /** That of its units; absent: 1000. */
  readonly base?: 1024;
}

const CHARTS: readonly Chart[] = [
  { title: "Connections", series: [{ name: "open", value: "connections" }], format: count },
  {
    title: "Handshakes",
    series: [
      { name: "full", value: "full" },
      { name: "resumed", value: "resumed" },
      {
        name: "full or resumed: this build does not know",
        value: "handshakes",
        isSubstitute: true,
      },
    ],
    format: rate,
  },
  {
    title: "Throughput",
    series: [{ name: "from clients", value: "received" }, { name: "to clients", value: "sent" }],
    format: bytesPerSecond,
    base: 1024,
  },
  {
    title: "Handshake time",
    series: [{ name: "median", value: "handshake50" }, { name: "99 %", value: "handshake99" }],
    format: latency,
  },
  {
    title: "Backend connect time",
    series: [{ name: "median", value: "connect50" }, { name: "99 %", value: "connect99" }],
    format: latency,
  },
  { title: "Failed connections", series: [{ name: "all", value: "failures" }], format: rate },
];

const SVG = "http://www.w3.org/2000/svg";
/** A chart's description changes this often, in milliseconds: a reader may be on it. */
const DESCRIPTION_INTERVAL = 10_000;

/** Makes the charts and their table; returns the function that draws points. */
export function makeCharts(): (points: readonly Point[]) => void {
  const charts = CHARTS.map(makeChart);
  const table = makeTable<{ chart: Chart; series: Series; points: readonly Point[] }>(
    byId("series"),
    {
      limit: 100,
      what: "series",
      empty: "No values yet.",
      columns: [
        { title: "Series", cell: ({ chart, series }) => ({ text: nameOf(chart, series) }) },
        ...(["now", "least", "mean", "most"] as const).map((which) => ({
          title: `${which[0]!.toUpperCase()}${which.slice(1)}`,
          isNumber: true,
          cell: (
            { chart, series, points }: { chart: Chart; series: Series; points: readonly Point[] },
          ) => ({
            text: chart.format(summaryOf(points.map((point) => point[series.value]))[which]),
          }),
        })),
      ],
    },
  );
  const details = byId("series").closest("details")!;
  let latest: readonly Point[] = [];
  const drawTable = () => {
    if (!details.open) return;
    const rows = CHARTS.flatMap((chart) =>
      shownSeries(chart, latest).map((series) => ({ chart, series, points: latest }))
    );
    table(rows);
  };
  details.addEventListener("toggle", drawTable);

  let cursor: number | undefined;
  const drawCharts = () => {
    const at = cursor === undefined ? undefined : latest.at(-1)!.at - (1 - cursor) * spanOf(latest);
    const index = at === undefined ? undefined : nearest(latest, at);
    for (const draw of charts) draw(latest, index);
  };
  byId("charts").addEventListener("pointermove", (event) => {
    const plot = (event.target as Element).closest(".plot");
    const box = plot?.getBoundingClientRect();
    cursor = box && latest.length > 0 ? (event.clientX - box.left) / box.width : undefined;
    drawCharts();
  });
  byId("charts").addEventListener("pointerleave", () => {
    cursor = undefined;
    drawCharts();
  });
  return (points) => {
    latest = points;
    drawCharts();
    drawTable();
  };
}

/** The series that a chart shows: of those that can stand for each other, what is known. */
function shownSeries({ series }: Chart, points: readonly Point[]): Series[] {
  const isUsed = ({ value }: Series) => points.some((point) => (point[value] ?? 0) > 0);
  const replaced = series.some((one) => one.isSubstitute && isUsed(one));
  return series.filter((one) => replaced ? isUsed(one) : !one.isSubstitute);
}

function nameOf(chart: Chart, series: Series): string {
  return chart.series.length === 1 ? chart.title : `${chart.title}, ${series.name}`;
}

/** Draws the points; those of `index` instead of the last ones as numbers. */
type Draw = (points: readonly Point[], index: number | undefined) => void;

function makeChart(chart: Chart): Draw {
  const numbers = chart.series.map(() => element("strong"));
  const legend = element(
    "ul",
    { class: "legend" },
    ...chart.series.map(({ name }, i) =>
      element("li", { class: `series${i}` }, numbers[i]!, element("span", {}, name))
    ),
  );
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const shape = (name: string) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
    return path;
  };
  shape("grid").setAttribute(
    "d",
    `M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - .5}H${WIDTH}`,
  );
  const area = shape("area");
  const lines = chart.series.map((_, i) => shape(`line series${i}`));
  const marker = shape("cursor");
  const top = element("span", { class: "top" });
  const when = element("span", { class: "when" });
  const plot = element("div", { class: "plot" }, svg, top);
  const since = element("span");
  const axis = element("p", { class: "axis" }, since, when);
  axis.setAttribute("aria-hidden", "true");
  byId("charts").append(
    element("figure", {}, element("h3", {}, chart.title), legend, plot, axis),
  );
  let described = 0;
  return (points, index) => {
    const last = points.at(-1);
    if (!last) return;
    const shown = shownSeries(chart, points);
    const all = chart.series.map((series) =>
      shown.includes(series) ? points.map((point) => point[series.value]) : []
    );
    const known = all.flat().filter((value) => value !== undefined);
    const maximum = niceMaximum(known, chart.base ?? 1000);
    const span = spanOf(points);
    const scale = { from: last.at - span, to: last.at, maximum };
    setText(since, `${span / 60_000} min ago`);
    all.forEach((values, i) => {
      const samples = values.map((value, j) => [points[j]!.at, value] as const);
      lines[i]!.setAttribute("d", pathOf(samples, scale));
      if (chart.series[i] === shown[0]) {
        area.setAttribute("d", pathOf(samples, { ...scale, isArea: true }));
      }
      (legend.children[i] as HTMLElement).hidden = !shown.includes(chart.series[i]!);
      setText(numbers[i]!, chart.format(values[index ?? values.length - 1]));
    });
    setText(top, chart.format(maximum));
    const cursor = index === undefined ? undefined : points[index]!.at;
    const x = cursor === undefined ? undefined : WIDTH * (1 - (last.at - cursor) / span);
    marker.setAttribute("d", x === undefined ? "" : `M${x.toFixed(1)} 0V${HEIGHT}`);
    setText(when, cursor === undefined ? "now" : time(new Date(cursor).toISOString()));
    if (described && last.at - described < DESCRIPTION_INTERVAL) return;
    described = last.at;
    const texts = shown.map((series) => {
      const { now, least, most } = summaryOf(all[chart.series.indexOf(series)]!);
      const [a, b, c] = [now, least, most].map(chart.format);
      return `${series.name} ${a}, between ${b} and ${c}`;
    });
    svg.setAttribute("aria-label", `${chart.title}: ${texts.join("; ")}`);
  };
}
