/** Inputs of the fuzzer that stud failed at, kept in a file to be sent again. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** With the seed, all that the mutants from `first` to `first + count - 1` are made of. */
export interface Inputs {
  readonly material: readonly Buffer[];
  readonly first: number;
  readonly count: number;
}

/** The path of a new file that holds them. */
export function saveInputs({ material, ...range }: Inputs): string {
  const path = join(mkdtempSync(join(tmpdir(), "stud-fuzz-")), "inputs.json");
  const texts = material.map((bytes) => bytes.toString("base64"));
  writeFileSync(path, JSON.stringify({ ...range, material: texts }));
  return path;
}

/** What `saveInputs` wrote. */
export function readInputs(path: string): Inputs {
  const { material, ...range } = JSON.parse(readFileSync(path, "utf8"));
  return { ...range, material: material.map((text: string) => Buffer.from(text, "base64")) };
}
