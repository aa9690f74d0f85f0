/** The memory of processes over time, and whether it grows. Pure: it runs on every runtime. */
import { axisTo, lineChart } from "../../bench/plot.ts";

/** One sample; memory is anonymous, in bytes. */
export interface Sample {
  /** Seconds since the start. */
  readonly time: number;
  readonly master: number;
  /** All workers together, including old ones. */
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
 * How much the trend may grow over the second half, in bytes: a tenth of the mean, and at least 4 MB,
 * since a small heap varies by as much if the collector has little to do (the master of the Bun
 * build, between 22 and 29 MB). A leak of 1 KB for each connection is several times as much in 15
 * minutes.
 */
export function maxGrowth(mean: number): number {
  return Math.max(0.1 * mean, 4e6);
}

/** By least squares over the second half. */
export function growthOf(samples: readonly Sample[], of: "master" | "workers"): Growth {
  const half = samples.slice(Math.floor(samples.length / 2));
  const times = half.map(({ time }) => time);
  const values = half.map((sample) => sample[of]);
  const [meanTime, mean] = [meanOf(times), meanOf(values)];
  const slope = sum(times.map((time, i) => (time - meanTime) * (values[i]! - mean))) /
    sum(times.map((time) => (time - meanTime) ** 2));
  const growth = slope * (times.at(-1)! - times[0]!);
  return { mean, growth, isFlat: growth < maxGrowth(mean) };
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
