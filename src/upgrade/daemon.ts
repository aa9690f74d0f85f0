/**
 * `--daemon` without fork, which would take one thread of many along: the process in the foreground
 * starts itself again in a session of its own, waits for the verdict of that one, and ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Dialect } from "../base/dialect.ts";
import type { Libc } from "../os/libc.ts";
import { closeInherited } from "../os/descriptors.ts";
import {
  awaitStartupResult,
  letGo,
  reportStartupResult,
  STARTUP_RESULT_FD,
  type StartupResult,
  takeMark,
} from "./startup_result.ts";

/** The variable that tells the daemon who its parent is; no worker ever sees it. */
const MARKER = "STUD_DAEMON";
/** Many certificates and workers take their time; a hang must not. */
const START_LIMIT_MS = 120_000;

/** True in the process that {@link spawnDaemon} started. Ask once: the mark is taken away. */
export function isDaemonChild(
  environment: Record<string, string | undefined> = process.env,
  parent: number = process.ppid,
): boolean {
  return takeMark(MARKER, environment, parent);
}

/**
 * Starts this program again, detached, in the same directory, with all standard streams on
 * /dev/null except `input`, which stands for a standard input that was already read. Fulfilled when
 * the daemon serves, could not start, or has not said either for too long, which ends it.
 */
export async function spawnDaemon(
  self: readonly string[],
  argv: readonly string[],
  { input, limitMs = START_LIMIT_MS }: { input?: string; limitMs?: number } = {},
): Promise<StartupResult> {
  let child: ChildProcess;
  try {
    child = spawn(self[0]!, [...self.slice(1), ...argv], {
      detached: true,
      stdio: [input === undefined ? "ignore" : "pipe", "ignore", "ignore", "pipe"],
      env: { ...process.env, [MARKER]: String(process.pid) },
    });
  } catch (error) {
    // Some runtimes throw what others report as an event.
    return failed(`cannot start the daemon: ${(error as Error).message}`, 1);
  }
  child.stdin?.on("error", () => {}).end(input);
  const result = await awaitStartupResult(child, { name: "the daemon", limitMs, failed });
  letGo(child);
  return result;
}

/**
 * Tells the parent that this daemon serves, and leaves its directory for `/`. False when nobody
 * waits any more: the start was given up, and the daemon should end.
 */
export function reportReady(libc: Libc, dialect: Dialect): boolean {
  const output = dialect === "stud" ? [`{core} Daemonized as pid ${process.pid}.`] : [];
  const isTaken = reportStartupResult(libc, { code: 0, output, problems: [] });
  closeInherited(libc, STARTUP_RESULT_FD);
  // No file system is held busy by us.
  if (isTaken) process.chdir("/");
  return isTaken;
}

function failed(problem: string, code: number): StartupResult {
  return {
    code,
    output: [],
    problems: [`stud: ${problem}; start it without --daemon to see why`],
  };
}
