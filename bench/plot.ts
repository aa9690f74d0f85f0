/** Charts as SVG, for light and dark backgrounds. No I/O: it runs on every runtime. */

export interface Axis {
  readonly title: string;
  /** Its largest value; it begins at 0. */
  readonly max: number;
  /** Values with a grid line and a label. */
  readonly ticks: readonly number[];
}

export interface Bar {
  readonly value: number;
  /** The smallest and the largest value, drawn as a whisker. */
  readonly min: number;
  readonly max: number;
}

export interface BarChart {
  readonly title: string;
  readonly axis: Axis;
  /** The value that bars are compared with; it gets a stronger line. */
  readonly mark: number;
  readonly series: readonly string[];
  /** One bar per series; undefined if it has none. */
  readonly groups: readonly { title: string; bars: readonly (Bar | undefined)[] }[];
}

export interface LineChart {
  readonly title: string;
  readonly y: Axis;
  /** Labels along the horizontal axis. */
  readonly places: readonly string[];
  /** One value per place; undefined if there is none. */
  readonly series: readonly { title: string; values: readonly (number | undefined)[] }[];
}

const WIDTH = 860;
const TEXT = 13;

/** Ticks in steps of 1, 2 or 5 times a power of ten, up to the first that covers `max`. */
export function axisTo(max: number, title: string): Axis {
  const power = 10 ** Math.floor(Math.log10(max / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => max / each <= 6)!;
  const count = Math.ceil(max / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
  return { title, max: ticks.at(-1)!, ticks };
}

/** Draws groups of horizontal bars. */
export function barChart(chart: BarChart): string {
  const LEFT = 250;
  const BAR = 11;
  const GAP = 14;
  const top = 76;
  const groupHeight = chart.series.length * BAR + GAP;
  const bottom = top + chart.groups.length * groupHeight;
  const scale = (WIDTH - LEFT - 60) / chart.axis.max;
  const x = (value: number) => LEFT + Math.min(value, chart.axis.max) * scale;
  const body = [heading(chart.title), legend(chart.series)];
  for (const tick of chart.axis.ticks) {
    body.push(line(x(tick), top - 6, x(tick), bottom, tick === chart.mark ? "mark" : "grid"));
    body.push(text(x(tick), bottom + 16, String(tick), "middle"));
  }
  body.push(text(x(chart.axis.max / 2), bottom + 36, chart.axis.title, "middle"));
  chart.groups.forEach(({ title, bars }, g) => {
    const y = top + g * groupHeight;
    body.push(text(LEFT - 8, y + chart.series.length * BAR / 2 + 4, title, "end"));
    bars.forEach((bar, s) => {
      if (bar) body.push(...barLines(bar, s, x, y + s * BAR, BAR));
    });
  });
  return svg(bottom + 48, body);
}

function barLines(
  bar: Bar,
  series: number,
  x: (value: number) => number,
  y: number,
  height: number,
): string[] {
  const middle = y + height / 2;
  const width = (x(bar.value) - x(0)).toFixed(1);
  return [
    `<rect class="s${series}" x="${x(0)}" y="${y}" width="${width}" height="${height - 2}"/>`,
    line(x(bar.min), middle - 1, x(bar.max), middle - 1, "whisker"),
    text(x(Math.max(bar.value, bar.max)) + 5, middle + 3, bar.value.toFixed(2), "start", "small"),
  ];
}

/** Draws points joined by lines, at equal distances. */
export function lineChart(chart: LineChart): string {
  const LEFT = 70;
  const top = 76;
  const bottom = 340;
  const step = (WIDTH - LEFT - 40) / Math.max(1, chart.places.length - 1 + 0.4);
  const x = (place: number) => LEFT + (place + 0.2) * step;
  const y = (value: number) => bottom - value / chart.y.max * (bottom - top);
  const body = [heading(chart.title), legend(chart.series.map(({ title }) => title))];
  for (const tick of chart.y.ticks) {
    body.push(line(LEFT, y(tick), WIDTH - 40, y(tick), "grid"));
    body.push(text(LEFT - 8, y(tick) + 4, String(tick), "end"));
  }
  body.push(text(LEFT - 60, top - 14, chart.y.title, "start"));
  chart.places.forEach((place, i) => body.push(text(x(i), bottom + 20, place, "middle")));
  chart.series.forEach(({ values }, s) => {
    const points = values.flatMap((value, i) =>
      value === undefined ? [] : [`${x(i).toFixed(1)},${y(value).toFixed(1)}`]
    );
    body.push(`<polyline class="l${s}" points="${points.join(" ")}"/>`);
    for (const point of points) {
      const [cx, cy] = point.split(",");
      body.push(`<circle class="s${s}" cx="${cx}" cy="${cy}" r="3.5"/>`);
    }
  });
  return svg(bottom + 36, body);
}

/** Distinguishable with color blindness (Okabe and Ito's palette), on white and on black. */
const COLOURS = ["#0072b2", "#009e73", "#e69f00", "#999999", "#cc79a7", "#56b4e9"];

function svg(height: number, body: readonly string[]): string {
  const colours = COLOURS.map((colour, i) =>
    `.s${i}{fill:${colour}}.l${i}{fill:none;stroke:${colour};stroke-width:2}`
  );
  const style = [
    `text{font:${TEXT}px system-ui,sans-serif;fill:#1f2328}`,
    `.title{font-weight:600;font-size:15px}.small{font-size:10px}`,
    `.grid{stroke:#d1d9e0}.mark{stroke:#1f2328;stroke-width:1.5}.whisker{stroke:#1f2328}`,
    ...colours,
    `@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}`,
    `.mark,.whisker{stroke:#e6edf3}}`,
  ].join("");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}">`,
    `<style>${style}</style>`,
    ...body,
    "</svg>",
    "",
  ].join("\n");
}

function heading(title: string): string {
  return text(12, 24, title, "start", "title");
}

function legend(series: readonly string[]): string {
  return series.map((title, i) => {
    const x = 12 + i * 138;
    return `<rect class="s${i}" x="${x}" y="38" width="12" height="12"/>` +
      text(x + 17, 49, title, "start");
  }).join("\n");
}

function line(x1: number, y1: number, x2: number, y2: number, name: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((each) => each.toFixed(1));
  return `<line class="${name}" x1="${a}" y1="${b}" x2="${c}" y2="${d}"/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  anchor: "start" | "middle" | "end",
  name?: string,
): string {
  const attribute = name ? ` class="${name}"` : "";
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text${attribute} x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">` +
    `${escaped}</text>`;
}
