/** Fuzzer inputs that stud failed on, saved in a file for a replay. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** With the seed, everything needed for the mutants from `first` to `first + count - 1`. */
export interface Inputs {
  readonly material: readonly Buffer[];
  readonly first: number;
  readonly count: number;
}

/** Saves the inputs in a new file and returns its path. */
export function saveInputs({ material, ...range }: Inputs): string {
  const path = join(mkdtempSync(join(tmpdir(), "stud-fuzz-")), "inputs.json");
  const texts = material.map((bytes) => bytes.toString("base64"));
  writeFileSync(path, JSON.stringify({ ...range, material: texts }));
  return path;
}

/** Reads what `saveInputs` wrote. */
export function readInputs(path: string): Inputs {
  const { material, ...range } = JSON.parse(readFileSync(path, "utf8"));
  return { ...range, material: material.map((text: string) => Buffer.from(text, "base64")) };
}
