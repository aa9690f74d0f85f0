/**
 * `--daemon` without fork, which would copy only one of many threads: the process in the foreground
 * starts itself again in a new session, waits for that process's startup result, and exits.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Dialect } from "../base/dialect.ts";
import type { Libc } from "../os/libc.ts";
import { closeInherited } from "../os/descriptors.ts";
import {
  awaitStartupResult,
  release,
  reportStartupResult,
  STARTUP_RESULT_FD,
  type StartupResult,
  takeMarker,
} from "./startup_result.ts";

/** The variable with the pid of the daemon's parent; workers do not inherit it. */
const MARKER = "STUD_DAEMON";
/** Maximum time for a start, which many certificates and workers can make long, in milliseconds. */
const START_LIMIT_MS = 120_000;

/** True in the process that {@link spawnDaemon} started. Removes the marker, so call it once. */
export function isDaemonChild(
  environment: Record<string, string | undefined> = process.env,
  parent: number = process.ppid,
): boolean {
  return takeMarker(MARKER, environment, parent);
}

/**
 * Starts this program again, detached, in the same directory, with its standard streams on
 * /dev/null; `input` replaces a standard input that was already read, and `directory` is what PWD
 * names: where relative paths begin, also after the daemon has left it. Fulfilled when the daemon
 * serves or has failed, or after `limitMs` milliseconds, when it is killed; never rejected.
 */
export async function spawnDaemon(
  self: readonly string[],
  argv: readonly string[],
  { input, directory, limitMs = START_LIMIT_MS }: {
    input?: string;
    directory?: string;
    limitMs?: number;
  } = {},
): Promise<StartupResult> {
  let child: ChildProcess;
  try {
    child = spawn(self[0]!, [...self.slice(1), ...argv], {
      detached: true,
      stdio: [input === undefined ? "ignore" : "pipe", "ignore", "ignore", "pipe"],
      env: {
        ...process.env,
        ...(directory === undefined ? {} : { PWD: directory }),
        [MARKER]: String(process.pid),
      },
    });
  } catch (error) {
    // Some runtimes throw an error that others report as an event.
    return failed(`cannot start the daemon: ${(error as Error).message}`, 1);
  }
  child.stdin?.on("error", () => {}).end(input);
  const result = await awaitStartupResult(child, { name: "the daemon", limitMs, failed });
  release(child);
  return result;
}

/**
 * Reports to the parent that this daemon serves, and changes its directory to `/`. False if the
 * parent has gone and the daemon should exit.
 */
export function reportReady(libc: Libc, dialect: Dialect): boolean {
  const output = dialect === "stud" ? [`{core} Daemonized as pid ${process.pid}.`] : [];
  const isReported = reportStartupResult(libc, { code: 0, output, problems: [] });
  closeInherited(libc, STARTUP_RESULT_FD);
  // A daemon must not keep a file system from being unmounted.
  if (isReported) process.chdir("/");
  return isReported;
}

function failed(problem: string, code: number): StartupResult {
  return {
    code,
    output: [],
    problems: [`stud: ${problem}; start it without --daemon to see why`],
  };
}
