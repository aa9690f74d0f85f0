/** Numbers, sizes, durations and times as text. Units follow a no-break space. */

const SPACE = "\u00a0";
/** For a value that is not known. */
export const UNKNOWN = "–";

/** `1,234`; from 100,000 on `123 k`, `1.23 M`. */
export function count(value: number | undefined): string {
  if (value === undefined) return UNKNOWN;
  if (Math.abs(value) < 100_000) return Math.round(value).toLocaleString("en");
  return scaled(value, 1000, ["", "k", "M", "G", "T", "P"]);
}

/** Events each second: `0`, `0.4/s`, `12/s`, `1,234/s`. */
export function rate(value: number | undefined): string {
  if (value === undefined) return UNKNOWN;
  const digits = value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
  return `${digits === "0.0" ? "< 0.1" : digits}/s`;
}

/** Bytes in the units of `stud status` and `stud top`: `0 B`, `999 B`, `1.50 KiB`, `12.3 MiB`. */
export function bytes(value: number | undefined): string {
  if (value === undefined) return UNKNOWN;
  return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

/** `1.50 MiB/s`. */
export function bytesPerSecond(value: number | undefined): string {
  return value === undefined ? UNKNOWN : `${bytes(value)}/s`;
}

/** A short duration in seconds: `120 µs`, `1.20 ms`, `3.40 s`; Infinity: `off scale`. */
export function latency(seconds: number | undefined): string {
  if (seconds === undefined) return UNKNOWN;
  if (seconds === Infinity) return "off scale";
  if (seconds === 0) return `0${SPACE}ms`;
  const [value, unit] = seconds < 0.9995e-3
    ? [seconds * 1e6, "µs"]
    : seconds < 0.9995
    ? [seconds * 1e3, "ms"]
    : [seconds, "s"];
  return `${threeDigits(value)}${SPACE}${unit}`;
}

/** A long duration in seconds in its two largest units: `4 s`, `3 min 5 s`, `2 h 10 min`, `5 d 1 h`. */
export function duration(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds));
  const parts = UNITS.map(([size, unit]) => {
    const value = Math.floor(rest / size);
    rest %= size;
    return { value, text: `${value}${SPACE}${unit}` };
  });
  const first = parts.findIndex(({ value }) => value > 0);
  if (first < 0) return `0${SPACE}s`;
  return parts.slice(first, first + 2).filter(({ value }) => value > 0).map(({ text }) => text)
    .join(" ");
}

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]] as const;

/** Until a certificate ends, of days rounded down: `ends today`, `1 day`, `ended 3 days ago`. */
export function daysLeft(days: number): string {
  const whole = Math.floor(days);
  if (days < 0) {
    const past = -whole - 1;
    return past === 0 ? "ended today" : `ended ${amount(past, "day")} ago`;
  }
  return whole === 0 ? "ends today" : amount(whole, "day");
}

/** `1 worker`, `2 workers`, `0 problems`. */
export function amount(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** A time in the reader's zone: the time only if it is of today. `iso` that is no time is returned. */
export function time(iso: string, now = new Date(), locale?: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const isToday = date.toDateString() === now.toDateString();
  return date.toLocaleString(locale, isToday ? { timeStyle: "medium" } : DAY_AND_TIME);
}

/** A day in the reader's zone. */
export function day(iso: string, locale?: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleDateString(locale, { dateStyle: "medium" });
}

const DAY_AND_TIME = { dateStyle: "medium", timeStyle: "short" } as const;

function scaled(value: number, base: number, units: readonly string[]): string {
  let size = Math.abs(value);
  let unit = 0;
  // 999.5 would be shown as 1000.
  while (size >= base - 0.5 && unit < units.length - 1) {
    size /= base;
    unit++;
  }
  const digits = unit === 0 ? String(Math.round(size)) : threeDigits(size);
  return `${value < 0 ? "-" : ""}${digits}${SPACE}${units[unit]}`.trimEnd();
}

/** Three significant digits. */
function threeDigits(value: number): string {
  if (value >= 99.95) return Math.round(value).toString();
  return value.toFixed(value >= 9.995 ? 1 : 2);
}
