/** `stud reload`. */
import process from "node:process";
import { errorText } from "../base/error_text.ts";
import { print, printError } from "../base/print.ts";
import type { Given } from "../options/subcommands.ts";
import { SubcommandError } from "../options/subcommand.ts";
import type { ReloadStatus } from "../status/status.ts";
import { ask, AwayError } from "./client.ts";
import { reloadStatus } from "./document.ts";
import { findService, type Service } from "./service.ts";
import { reloadResult } from "./reload_text.ts";

/** In seconds: more than new workers may take to start. */
const DEFAULT_SECONDS = 90;
/** Enough to deliver the request; an answer within that time is a result. */
const DELIVERY_MS = 1000;

/** Requests a reload and prints its result; returns the exit code. Throws a SubcommandError. */
export async function reload(given: Given<"reload">): Promise<number> {
  const { wait = true, timeout = DEFAULT_SECONDS } = given;
  const service = findService(given);
  if (!service.address && service.pid !== undefined) return signal(service, service.pid, wait);
  const limitMs = wait ? timeout * 1000 : DELIVERY_MS;
  try {
    const answer = await ask(service, { method: "POST", path: "/reload", limitMs });
    return report(reloadStatus(service, answer), wait);
  } catch (error) {
    if (!(error instanceof AwayError && error.isLate)) throw error;
    if (!wait) {
      print("reload requested; stud status shows its result\n");
      return 0;
    }
    throw new SubcommandError(
      `the reload has not ended within ${timeout} s; stud status shows its result`,
    );
  }
}

/** Prints the result; returns the exit code. */
function report(status: ReloadStatus, wait: boolean): number {
  const [head, ...problems] = reloadResult(status);
  const isRequested = status.result === "succeeded" || (status.result === "waiting" && !wait);
  if (isRequested) {
    print(`${[head, ...problems].join("\n")}\n`);
    return 0;
  }
  for (const line of [`stud: ${head}`, ...problems]) printError(line);
  return status.result === "failed" ? 1 : 2;
}

/** For a stud without an admin endpoint. */
function signal({ origin }: Service, pid: number, wait: boolean): number {
  try {
    process.kill(pid, "SIGHUP");
  } catch (error) {
    throw new SubcommandError(
      `${origin}: cannot send SIGHUP to process ${pid}: ${
        errorText(error)
      }; run this as its user ` +
        "or as root",
    );
  }
  const text =
    `process ${pid} got SIGHUP; its result is only in its log, since it runs without --admin`;
  if (!wait) {
    print(`${text}\n`);
    return 0;
  }
  printError(`stud: ${text}`);
  return 2;
}
