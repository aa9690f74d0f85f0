import { UsageError } from "./errors.ts";

/** The program whose command line and configuration file syntax apply. */
export type Dialect = "stud" | "hitch";

/** Parses the value of `--compat`. Throws a UsageError. */
export function parseDialect(name: string): Dialect {
  if (name === "stud" || name === "hitch") return name;
  throw new UsageError(`--compat: ${JSON.stringify(name)} is not a dialect; use stud or hitch`);
}
