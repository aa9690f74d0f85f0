import { writeSync } from "node:fs";
import process from "node:process";

/** Those of `names` that the object, called `owner`, does not have; all, where it is none. */
export function absent(handler: string, object: unknown, names: readonly string[]): string[] {
  const isObject = typeof object === "function" || (typeof object === "object" && object !== null);
  return names.filter((name) => !isObject || !(name in object)).map((name) => `${handler}.${name}`);
}

/**
 * Ends the process with one line where something is absent that the adapter uses: an adapter calls it
 * before anything else, since without these nothing works. `known` is a version that has them.
 */
export function requireAll(runtime: string, known: string, missing: readonly string[]): void {
  if (missing.length === 0) return;
  const [first] = missing;
  const others = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
  writeSync(2, `stud: ${runtime} is not supported: it has no ${first}${others}; use ${known}\n`);
  process.exit(1);
}
