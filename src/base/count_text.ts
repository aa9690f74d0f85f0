/** Formats a number as `4,212`. The runtime's own formatter would load tables for all languages. */
export function countText(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** Returns for example `1 connection` or `4,212 connections`. */
export function connectionsText(count: number): string {
  return `${countText(count)} ${count === 1 ? "connection" : "connections"}`;
}

/** Returns for example `1 more time` or `4,212 more times`. */
export function moreTimesText(count: number): string {
  return `${countText(count)} more ${count === 1 ? "time" : "times"}`;
}
