/** `stud status`. */
import { print } from "../base/print.ts";
import type { Given } from "../options/subcommands.ts";
import type { Status } from "../status/status.ts";
import { askStatus } from "./document.ts";
import { plainJson } from "./plain.ts";
import { findService } from "./service.ts";
import { statusText } from "./status_text.ts";

/** Prints the status; returns the exit code. Throws a SubcommandError if there is none. */
export async function status(given: Given<"status">): Promise<number> {
  const found = await askStatus(findService(given));
  print(given.json ? `${plainJson(found)}\n` : statusText(found));
  return exitCode(found);
}

function exitCode({ health, ready }: Status): number {
  return health === "well" && ready.isReady ? 0 : 1;
}
