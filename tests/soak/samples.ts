/** What processes hold over time, and whether it grows. Pure: it runs on every runtime. */
import { axisTo, lineChart } from "../../bench/plot.ts";

/** At one moment; memory is anonymous, in bytes. */
export interface Sample {
  /** Seconds since the start. */
  readonly time: number;
  readonly master: number;
  /** All workers together, old ones too. */
  readonly workers: number;
  readonly descriptors: number;
}

export interface Growth {
  /** In bytes: the mean, and by how much the trend grew, over the second half. */
  readonly mean: number;
  readonly growth: number;
  readonly isFlat: boolean;
}

/**
 * How much may grow over the second half, as a part of the mean: garbage collectors let a heap
 * breathe by more than that from one second to the next, but the trend of some hundred samples by
 * less. A leak of 1 KB for each connection would be several times as much.
 */
export const MAX_GROWTH = 0.1;

/** By the least squares of the second half. */
export function growthOf(samples: readonly Sample[], of: "master" | "workers"): Growth {
  const half = samples.slice(Math.floor(samples.length / 2));
  const times = half.map(({ time }) => time);
  const values = half.map((sample) => sample[of]);
  const [meanTime, mean] = [meanOf(times), meanOf(values)];
  const slope = sum(times.map((time, i) => (time - meanTime) * (values[i]! - mean))) /
    sum(times.map((time) => (time - meanTime) ** 2));
  const growth = slope * (times.at(-1)! - times[0]!);
  return { mean, growth, isFlat: growth < MAX_GROWTH * mean };
}

/** The memory of all samples as SVG, with at most 60 points. */
export function plot(title: string, samples: readonly Sample[]): string {
  const step = Math.ceil(samples.length / 60);
  const shown = samples.filter((_, i) => i % step === 0);
  const inMegabytes = (of: "master" | "workers") => shown.map((sample) => sample[of] / 1e6);
  const series = [
    { title: "master", values: inMegabytes("master") },
    { title: "workers together", values: inMegabytes("workers") },
  ];
  return lineChart({
    title,
    y: axisTo(Math.max(...series.flatMap(({ values }) => values)), "MB"),
    places: shown.map(({ time }, i) => i % 10 === 0 ? `${(time / 60).toFixed(1)} min` : ""),
    series,
  });
}

function meanOf(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
