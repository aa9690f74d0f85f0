import { prepare } from "../master/prepare.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { makePrepareContext, type Serving } from "./state.ts";

/** `--test`: checks the configuration. Rejected with a UsageError that has all problems. */
export async function check(runtime: Runtime, { config, warnings }: Serving): Promise<void> {
  const { dialect } = config;
  if (dialect === "hitch") {
    console.error("Trying to initialize SSL contexts with your certificates");
  }
  const prepared = await prepare(makePrepareContext(runtime), config);
  for (const warning of [...warnings, ...prepared.warnings]) {
    console.error(`${dialect}: ${warning}`);
  }
  if (dialect === "hitch") console.error("hitch configuration looks ok.");
  else console.log("stud configuration looks ok.");
}
