/** Formats a number as `4,212`. The runtime's own formatter would load tables for all languages. */
export function countText(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}
