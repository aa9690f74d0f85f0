import { writeSync } from "node:fs";
import process from "node:process";

/** Returns the `names` that the object lacks, as `label.name`; all of them if it is not an object. */
export function missingMembers(label: string, object: unknown, names: readonly string[]): string[] {
  const isObject = typeof object === "function" || (typeof object === "object" && object !== null);
  return names.filter((name) => !isObject || !(name in object)).map((name) => `${label}.${name}`);
}

/**
 * Prints one line and exits if the runtime lacks something that the adapter uses. Adapters call it
 * first, because nothing works without these members. `known` is a version that has them.
 */
export function requireAll(runtime: string, known: string, missing: readonly string[]): void {
  if (missing.length === 0) return;
  const [first] = missing;
  const others = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
  writeSync(2, `stud: ${runtime} is not supported: it has no ${first}${others}; use ${known}\n`);
  process.exit(1);
}
