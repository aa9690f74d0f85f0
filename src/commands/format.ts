/** Numbers, times and tables as people read them, without a locale. */
import { countText } from "../base/count_text.ts";
import { plain } from "./plain.ts";

/** Returns `4,212`, `42.1k`, `3.20M`: at most six characters up to a thousand billions. */
export function shortCount(count: number): string {
  return Math.abs(count) < 10_000
    ? countText(Math.round(count))
    : scaled(count, 1000, ["k", "M", "G", "T"]);
}

/** Returns bytes as `512 B`, `12.3 MiB`. */
export function bytesText(bytes: number): string {
  if (Math.abs(bytes) < 1024) return `${Math.round(bytes)} B`;
  return scaled(bytes, 1024, [" KiB", " MiB", " GiB", " TiB"]);
}

function scaled(value: number, factor: number, units: readonly string[]): string {
  let unit = -1;
  let rest = value;
  // 999.95 would be shown with four digits.
  while (unit < units.length - 1 && (unit < 0 || Math.abs(rest) >= factor * 0.9995)) {
    rest /= factor;
    unit++;
  }
  return `${rest.toFixed(Math.abs(rest) < 10 ? 2 : Math.abs(rest) < 100 ? 1 : 0)}${units[unit]}`;
}

/** Returns the two largest units of a duration in seconds: `3 d 4 h`, `12 min 5 s`, `0.42 s`. */
export function durationText(seconds: number): string {
  if (!(seconds >= 0)) return "?";
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  const whole = Math.floor(seconds);
  const units: readonly [size: number, name: string][] = [[86400, "d"], [3600, "h"], [60, "min"], [
    1,
    "s",
  ]];
  const first = units.findIndex(([size]) => whole >= size);
  return units.slice(first, first + 2)
    .map((
      [size, name],
      i,
    ) => [Math.floor((i === 0 ? whole : whole % units[first]![0]) / size), name])
    .filter(([count], i) => i === 0 || count !== 0)
    .map(([count, name]) => `${count} ${name}`)
    .join(" ");
}

/** Returns the milliseconds or seconds of a short delay: `0 ms`, `12 ms`, `1.5 s`. */
export function delayText(seconds: number): string {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** Returns the time between two ISO 8601 times in seconds, at least 0; NaN if one is none. */
export function secondsBetween(from: string, to: string): number {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000;
  return seconds < 0 ? 0 : seconds;
}

/** Returns `2026-11-30 23:38:50 UTC`. */
export function timeText(iso: string): string {
  const ms = Date.parse(iso);
  return Number.isNaN(ms)
    ? plain(iso)
    : `${new Date(ms).toISOString().slice(0, 19)} UTC`.replace("T", " ");
}

/** Returns for example `1 worker` or `4,212 workers`. */
export function countOf(count: number, what: string): string {
  return `${countText(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** Returns whole days: `21 days`, `1 day`, `today`, `ended today`, `ended 3 days ago`. */
export function daysText(days: number): string {
  const whole = Math.floor(days);
  if (whole === 0) return "today";
  if (whole > 0) return countOf(whole, "day");
  // -0.5 was floored to -1: less than a day ago.
  return whole === -1 ? "ended today" : `ended ${countOf(-whole - 1, "day")} ago`;
}

/** A cell, and whether its column is aligned to the right. */
export interface Column {
  readonly title: string;
  readonly right?: true;
}

/** Returns a table with a line of titles, each line indented and with two spaces between columns. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((cells) => cells[i]!.length)));
  return all.map((cells) =>
    `  ${
      cells.map((cell, i) =>
        columns[i]!.right ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)
      ).join("  ")
    }`.trimEnd()
  );
}
