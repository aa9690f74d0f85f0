/**
 * How a new process of this program reports to the process that started it that it serves, or why
 * it cannot: one line of JSON on descriptor 3.
 */
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import type { Libc } from "../os/libc.ts";
import { exitText } from "../control/exit_text.ts";

/** The descriptor of the new process on which it reports. */
export const STARTUP_RESULT_FD = 3;
/** How long to wait for a result that may still be in the pipe after an exit, in milliseconds. */
const EXIT_GRACE_MS = 500;
/** How long to read what is there when the time limit expires, in milliseconds. */
const READ_MS = 100;
/** Maximum number of characters in a line. */
const MAX_LINE = 256 * 1024;

/** The result of a start. */
export interface StartupResult {
  /** The exit code; 0: the process serves. */
  readonly code: number;
  /** Lines for standard output. */
  readonly output: readonly string[];
  /** Lines for standard error. */
  readonly problems: readonly string[];
}

export interface AwaitOptions {
  /** The new process's name in problems. */
  readonly name: string;
  readonly limitMs: number;
  /** Makes the result for a problem that the process did not report itself. */
  failed(problem: string, code: number): StartupResult;
  /** The child is a launcher, which reports the new process's pid. Otherwise it is that process. */
  started?(pid: number): void;
  /** Handles lines after the result. */
  later?(line: string): void;
}

/**
 * Waits for the child's startup result. A child that exits without one has failed, and so has one
 * that reports none within `limitMs` milliseconds or an invalid one, which is killed. Never
 * rejected.
 */
export function awaitStartupResult(
  child: ChildProcess,
  options: AwaitOptions,
): Promise<StartupResult> {
  const { name, limitMs, failed, started, later = () => {} } = options;
  let pid = started ? undefined : child.pid;
  let isUnwanted = false;
  return new Promise((resolve) => {
    const finish = (result: StartupResult) => {
      clearTimeout(limit);
      resolve(result);
    };
    const tooLong = () => {
      kill(pid ?? child.pid);
      finish(failed(`${name} was not ready after ${limitMs / 1000} s and was killed`, 1));
    };
    // As `afterReading`: the result may have arrived while this process was stalled.
    let limit = setTimeout(() => limit = setTimeout(tooLong, READ_MS), limitMs);
    child.on("error", (error) => finish(failed(`cannot start ${name}: ${error.message}`, 1)));
    child.on("exit", (code, signal) => {
      const status = exitText({ code, signal });
      const result = failed(`${name} exited (${status}) before it was ready`, code || 1);
      setTimeout(() => finish(result), EXIT_GRACE_MS);
    });
    let isReported = false;
    readLines(child, (line) => {
      const launched = started && parsePid(line);
      if (launched !== undefined) {
        pid = launched;
        // A process can be faster than its launcher.
        if (isUnwanted) kill(pid);
        return started!(pid);
      }
      if (isReported) return later(line);
      isReported = true;
      const result = parse(line);
      // Nothing waits for it any more.
      isUnwanted = !result;
      if (isUnwanted) kill(pid);
      finish(result ?? failed(`${name} sent an invalid startup result`, 1));
    });
  });
}

/** Stops reading from the child and lets this process exit before it. */
export function release(child: ChildProcess): void {
  (child.stdio?.[STARTUP_RESULT_FD] as Readable | undefined)?.destroy();
  // On Deno `unref` fails if no process was started.
  if (child.pid !== undefined) child.unref();
}

/** Reports the pid of a process that this one, a launcher, has started. */
export function reportStarted(libc: Libc, pid: number): void {
  writeLine(libc, JSON.stringify({ pid }));
}

/** Reports the result of this process's start. False if the process that waited for it has gone. */
export function reportStartupResult(libc: Libc, result: StartupResult): boolean {
  return writeLine(libc, JSON.stringify(result));
}

/**
 * Writes one line to the process that started this one, through the C library, which works alike in
 * all runtimes. False if that process has gone.
 */
export function writeLine(libc: Libc, line: string): boolean {
  let rest = new TextEncoder().encode(`${line}\n`);
  while (rest.length > 0) {
    const written = libc.write(STARTUP_RESULT_FD, rest, rest.length);
    if (written <= 0) break;
    rest = rest.subarray(written);
  }
  return rest.length === 0;
}

/**
 * Removes the marker from the environment. True if it has the parent's pid, so that the parent
 * waits for a startup result; a marker left by another process does not count.
 */
export function takeMarker(
  variable: string,
  environment: Record<string, string | undefined>,
  parent: number,
): boolean {
  const marker = environment[variable];
  delete environment[variable];
  return marker === String(parent);
}

function readLines(child: ChildProcess, handle: (line: string) => void): void {
  const pipe = child.stdio?.[STARTUP_RESULT_FD] as Readable | undefined;
  let text = "";
  pipe?.setEncoding("utf8").on("error", () => {}).on("data", (chunk: string) => {
    const lines = (text + chunk).split("\n");
    text = lines.pop()!;
    for (const line of lines) handle(line);
    if (text.length > MAX_LINE) pipe.destroy();
  });
}

/** Undefined if the line is not a startup result. */
function parse(line: string): StartupResult | undefined {
  try {
    const { code, output, problems } = JSON.parse(line);
    const isStartupResult = Number.isInteger(code) && areLines(output) && areLines(problems);
    return isStartupResult ? { code, output, problems } : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined if the line is not a launcher's. */
function parsePid(line: string): number | undefined {
  const pid = /^\{"pid":(\d{1,10})\}$/.exec(line)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  } catch {
    // It has just exited.
  }
}

function areLines(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((line) => typeof line === "string");
}
