/**
 * `--daemon` without fork, which would take one thread of many along: the process in the foreground
 * starts itself again in a session of its own, waits for the verdict of that one, and ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import type { Dialect } from "../options/config.ts";
import type { Libc } from "../runtime/types.ts";

/** The variable that tells the daemon who its parent is; no worker ever sees it. */
const MARKER = "STUD_DAEMON";
const VERDICT_FD = 3;
/** Many certificates and workers take their time; a hang must not. */
const START_LIMIT_MS = 120_000;
/** How long a verdict may be under way after the one who gave it has ended. */
const LAST_WORDS_MS = 500;
const MAX_VERDICT = 256 * 1024;

/** What the process in the foreground has to say before it ends. */
export interface Verdict {
  readonly code: number;
  /** Lines for standard output. */
  readonly output: readonly string[];
  /** Lines for standard error. */
  readonly problems: readonly string[];
}

/**
 * True in the process that {@link spawnDaemon} started. Ask once, first of all: the mark is taken
 * away. A mark that somebody else left in the environment does not count.
 */
export function isDaemonChild(
  environment: Record<string, string | undefined> = process.env,
  parent: number = process.ppid,
): boolean {
  const mark = environment[MARKER];
  delete environment[MARKER];
  return mark === String(parent);
}

/**
 * Starts this program again, detached, in the same directory, with all standard streams on
 * /dev/null except `input`, which stands for a standard input that was already read. Fulfilled when
 * the daemon serves, could not start, or has not said either for too long, which ends it.
 */
export function spawnDaemon(
  self: readonly string[],
  argv: readonly string[],
  { input, limitMs = START_LIMIT_MS }: { input?: string; limitMs?: number } = {},
): Promise<Verdict> {
  const child = spawn(self[0]!, [...self.slice(1), ...argv], {
    detached: true,
    stdio: [input === undefined ? "ignore" : "pipe", "ignore", "ignore", "pipe"],
    env: { ...process.env, [MARKER]: String(process.pid) },
  });
  child.stdin?.on("error", () => {}).end(input);
  return new Promise((resolve) => {
    const finish = (verdict: Verdict) => {
      clearTimeout(limit);
      letGo(child);
      resolve(verdict);
    };
    const limit = setTimeout(() => {
      child.kill("SIGKILL");
      finish(failure(`the daemon was not ready after ${limitMs / 1000} s and was ended`));
    }, limitMs);
    child.on("error", (error) => finish(failure(`cannot start the daemon: ${error.message}`)));
    child.on("exit", (code, signal) => {
      const status = signal ? `signal ${signal}` : `status ${code}`;
      const verdict = failure(`the daemon ended (${status}) before it was ready`, code || 1);
      setTimeout(() => finish(verdict), LAST_WORDS_MS);
    });
    readVerdict(child, finish);
  });
}

/**
 * Tells the parent that this daemon serves, and leaves its directory for `/`. False when nobody
 * waits any more: the start was given up, and the daemon should end.
 */
export function reportReady(libc: Libc, dialect: Dialect): boolean {
  const output = dialect === "stud" ? [`{core} Daemonized as pid ${process.pid}.`] : [];
  const isTaken = report(libc, { code: 0, output, problems: [] });
  // No file system is held busy by us.
  if (isTaken) process.chdir("/");
  return isTaken;
}

/** Tells the parent why there will be no daemon, and the code to exit with. */
export function reportProblems(libc: Libc, code: number, problems: readonly string[]): void {
  report(libc, { code, output: [], problems });
}

/** By the C library: Deno's `closeSync` leaves an inherited descriptor open. */
function report(libc: Libc, verdict: Verdict): boolean {
  let rest = new TextEncoder().encode(`${JSON.stringify(verdict)}\n`);
  while (rest.length > 0) {
    const written = libc.write(VERDICT_FD, rest, rest.length);
    if (written <= 0) break;
    rest = rest.subarray(written);
  }
  libc.close(VERDICT_FD);
  return rest.length === 0;
}

function readVerdict(child: ChildProcess, finish: (verdict: Verdict) => void): void {
  const pipe = child.stdio?.[VERDICT_FD] as Readable | undefined;
  let text = "";
  pipe?.setEncoding("utf8").on("error", () => {}).on("data", (part: string) => {
    text += part;
    const isWhole = text.includes("\n");
    if (isWhole) finish(JSON.parse(text.slice(0, text.indexOf("\n"))) as Verdict);
    else if (text.length > MAX_VERDICT) pipe.destroy();
  });
}

/** What is left of the child must not keep this process from ending. */
function letGo(child: ChildProcess): void {
  (child.stdio?.[VERDICT_FD] as Readable | undefined)?.destroy();
  // Deno's has nothing to let go when no process could be had.
  if (child.pid !== undefined) child.unref();
}

function failure(reason: string, code = 1): Verdict {
  const problem = `stud: ${reason}; start it without --daemon to see why`;
  return { code, output: [], problems: [problem] };
}
