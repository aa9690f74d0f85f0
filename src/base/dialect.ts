import { UsageError } from "./errors.ts";

/** Which program's command line and configuration file are spoken. */
export type Dialect = "stud" | "hitch";

/** The dialect that `--compat` names. Throws a UsageError. */
export function namedDialect(name: string): Dialect {
  if (name === "stud" || name === "hitch") return name;
  throw new UsageError(`--compat: ${JSON.stringify(name)} is no dialect; give stud or hitch`);
}
