/** A number for people: `4,212`. To ask the runtime for it would load its tables of all languages. */
export function countText(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}
