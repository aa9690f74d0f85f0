/** The geometry of a chart, without the page. */
import { SPAN } from "./history.ts";

/** Milliseconds and the value then; undefined: a gap. */
export type Sample = readonly [at: number, value: number | undefined];

/** The size of a chart in its own units; it is stretched to its place. */
export const WIDTH = 300;
export const HEIGHT = 80;

/** The time that charts show, in milliseconds: the shortest one into which the samples fit. */
export function spanOf(samples: readonly { readonly at: number }[]): number {
  const length = (samples.at(-1)?.at ?? 0) - (samples[0]?.at ?? 0);
  return SPANS.find((span) => length <= span) ?? SPAN;
}

const SPANS = [60_000, 120_000, SPAN];

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/**
 * The smallest of 1, 2, 5, 10 … 500 times a power of `base`, 1000 or 1024, that is not below any value;
 * 1 if all are 0.
 */
export function niceMaximum(values: readonly number[], base: number): number {
  const highest = Math.max(0, ...values.filter(Number.isFinite));
  if (highest === 0) return 1;
  const power = base ** Math.floor(Math.log(highest) / Math.log(base));
  return [...STEPS, base].map((step) => step * power).find((nice) => nice >= highest * 0.999)!;
}

/**
 * The path of a line from `from` to `to`, in milliseconds; values above `maximum`, such as Infinity,
 * are drawn on it. `isArea` closes each part down to the axis.
 */
export function pathOf(
  samples: readonly Sample[],
  { from, to, maximum, isArea = false }: {
    from: number;
    to: number;
    maximum: number;
    isArea?: boolean;
  },
): string {
  let path = "";
  let part: string[] = [];
  let start = 0;
  let end = 0;
  const close = () => {
    if (part.length === 0) return;
    // A part of one point is a line of no length, which round ends make a dot.
    const line = `M${part.join("L")}${part.length === 1 ? "h0" : ""}`;
    path += isArea ? `${line}L${end} ${HEIGHT}L${start} ${HEIGHT}Z` : line;
    part = [];
  };
  for (const [at, value] of samples) {
    if (value === undefined) {
      close();
      continue;
    }
    const x = rounded((at - from) / (to - from) * WIDTH);
    if (part.length === 0) start = x;
    end = x;
    part.push(`${x} ${rounded(HEIGHT - Math.min(value, maximum) / maximum * HEIGHT)}`);
  }
  close();
  return path;
}

/** The sample nearest to a time. */
export function nearest(samples: readonly { readonly at: number }[], at: number): number {
  let best = 0;
  samples.forEach((sample, i) => {
    if (Math.abs(sample.at - at) < Math.abs(samples[best]!.at - at)) best = i;
  });
  return best;
}

export interface Summary {
  readonly now?: number | undefined;
  readonly least?: number | undefined;
  readonly mean?: number | undefined;
  readonly most?: number | undefined;
}

/** The summary of the values that are known. */
export function summaryOf(values: readonly (number | undefined)[]): Summary {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return {};
  return {
    now: values.at(-1),
    least: Math.min(...known),
    mean: known.reduce((so, value) => so + value, 0) / known.length,
    most: Math.max(...known),
  };
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
