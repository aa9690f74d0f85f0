/**
 * How a process that this program started again tells the one which waits for it that it serves, or
 * why it cannot: one line of JSON on descriptor 3.
 */
import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import type { Libc } from "../os/libc.ts";
import { exitText } from "../control/exit_text.ts";

/** Where the started process finds the way back. */
export const STARTUP_RESULT_FD = 3;
/** How long a verdict may be under way after the one who gave it has ended. */
const LAST_WORDS_MS = 500;
const MAX_LINE = 256 * 1024;

/** What there is to say before the waiting process goes on. */
export interface StartupResult {
  /** 0: it serves. */
  readonly code: number;
  /** Lines for standard output. */
  readonly output: readonly string[];
  /** Lines for standard error. */
  readonly problems: readonly string[];
}

export interface Waiting {
  /** What the started process is called in a problem. */
  readonly name: string;
  readonly limitMs: number;
  /** Makes a verdict of a problem that the process did not tell itself. */
  failed(problem: string, code: number): StartupResult;
  /** Takes the lines after the verdict. */
  later?(line: string): void;
}

/**
 * Fulfilled when the child has given its verdict, has ended without one, or has been silent for
 * `limitMs` milliseconds, which ends it.
 */
export function awaitStartupResult(child: ChildProcess, waiting: Waiting): Promise<StartupResult> {
  const { name, limitMs, failed, later = () => {} } = waiting;
  return new Promise((resolve) => {
    const finish = (result: StartupResult) => {
      clearTimeout(limit);
      resolve(result);
    };
    const limit = setTimeout(() => {
      child.kill("SIGKILL");
      finish(failed(`${name} was not ready after ${limitMs / 1000} s and was ended`, 1));
    }, limitMs);
    child.on("error", (error) => finish(failed(`cannot start ${name}: ${error.message}`, 1)));
    child.on("exit", (code, signal) => {
      const status = exitText({ code, signal });
      const result = failed(`${name} ended (${status}) before it was ready`, code || 1);
      setTimeout(() => finish(result), LAST_WORDS_MS);
    });
    let isGiven = false;
    readLines(child, (line) => {
      if (isGiven) return later(line);
      isGiven = true;
      const result = parse(line);
      // Whatever it does, nobody waits for it.
      if (!result) child.kill("SIGKILL");
      finish(result ?? failed(`${name} answered in a language of its own`, 1));
    });
  });
}

/** No more is read from the child, and it does not keep this process from ending. */
export function letGo(child: ChildProcess): void {
  (child.stdio?.[STARTUP_RESULT_FD] as Readable | undefined)?.destroy();
  // Deno's has nothing to let go when no process could be had.
  if (child.pid !== undefined) child.unref();
}

/** False when nobody waits any more. */
export function reportStartupResult(libc: Libc, result: StartupResult): boolean {
  return tell(libc, JSON.stringify(result));
}

/** Writes one line to the process that waits; by the C library, which every runtime has. */
export function tell(libc: Libc, line: string): boolean {
  let rest = new TextEncoder().encode(`${line}\n`);
  while (rest.length > 0) {
    const written = libc.write(STARTUP_RESULT_FD, rest, rest.length);
    if (written <= 0) break;
    rest = rest.subarray(written);
  }
  return rest.length === 0;
}

/**
 * True when the variable names our parent, who therefore waits for a verdict. Ask once, first of
 * all: it is taken away. One that somebody else left in the environment does not count.
 */
export function takeMark(
  variable: string,
  environment: Record<string, string | undefined>,
  parent: number,
): boolean {
  const mark = environment[variable];
  delete environment[variable];
  return mark === String(parent);
}

function readLines(child: ChildProcess, take: (line: string) => void): void {
  const pipe = child.stdio?.[STARTUP_RESULT_FD] as Readable | undefined;
  let text = "";
  pipe?.setEncoding("utf8").on("error", () => {}).on("data", (part: string) => {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    for (const line of lines) take(line);
    if (text.length > MAX_LINE) pipe.destroy();
  });
}

/** Undefined for what no version of this program says. */
function parse(line: string): StartupResult | undefined {
  try {
    const { code, output, problems } = JSON.parse(line);
    const isStartupResult = Number.isInteger(code) && areLines(output) && areLines(problems);
    return isStartupResult ? { code, output, problems } : undefined;
  } catch {
    return undefined;
  }
}

function areLines(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((line) => typeof line === "string");
}
