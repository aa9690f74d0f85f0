/**
 * Starts a successor and exits before it. A service manager supervises a new main process only if it
 * is a child of its own, which an orphan becomes; a child of the old main process does not. The
 * runtimes have many threads, so that none of them can fork, and a process of this program does it.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { exitText } from "../control/exit_text.ts";
import { copyFrom } from "../os/descriptors.ts";
import type { Libc } from "../os/libc.ts";
import { LAUNCH_ARGUMENT } from "./command_line.ts";
import { reportStarted, reportStartupResult } from "./startup_result.ts";

/** The variable with the launcher's pid; workers do not inherit it. */
export const MARKER = "STUD_UPGRADE";

/**
 * Node reads the CAs that this variable names in a thread at its start; a process that is started at
 * that moment inherits the open file. So the launcher gets it under another name.
 */
const CAS = "NODE_EXTRA_CA_CERTS";
const KEPT_CAS = "STUD_UPGRADE_EXTRA_CA_CERTS";

type Environment = Readonly<Record<string, string | undefined>>;

/** Returns the environment of a launcher that is to start a process with this one. */
export function launcherEnvironment({ [CAS]: cas, ...others }: Environment): Environment {
  return cas === undefined ? others : { ...others, [KEPT_CAS]: cas };
}

function originalEnvironment({ [KEPT_CAS]: cas, ...others }: Environment): Environment {
  return cas === undefined ? others : { ...others, [CAS]: cas };
}

/** What a launcher starts. */
export interface Launch {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** The new process leads a session of its own. */
  readonly isDetached: boolean;
  /** The new process inherits all descriptors below it. */
  readonly descriptors: number;
}

/** Returns a launcher's arguments. */
export function launchWords({ command, isDetached, descriptors }: Launch): string[] {
  return [LAUNCH_ARGUMENT, String(descriptors), String(Number(isDetached)), ...command];
}

/**
 * Runs this process as a launcher, with the arguments after the first one. It reports the pid of the
 * process that it starts, and its exit. If that process serves, the predecessor kills the launcher.
 */
export function runLauncher(
  { libc }: { readonly libc: Libc },
  [descriptors, isDetached, program, ...words]: readonly string[],
): void {
  const fail = (problem: string, code: number) => {
    reportStartupResult(libc, { code, output: [], problems: [problem] });
    process.exit(code);
  };
  const count = Number(descriptors);
  const copies = Array.from({ length: count - 3 }, (_, i) => copyFrom(libc, i + 3, count));
  if (copies.some((fd) => fd < 0)) return fail("the limit of open files is reached", 1);
  try {
    const child = spawn(program!, words, {
      detached: isDetached === "1",
      // By their numbers, Deno would pass each twice.
      stdio: ["inherit", "inherit", "inherit", ...copies],
      env: { ...originalEnvironment(process.env), [MARKER]: String(process.pid) },
    });
    child.on("error", (error) => fail(`cannot start the new process: ${error.message}`, 1));
    child.on("exit", (code, signal) => {
      const status = exitText({ code, signal });
      fail(`the new process exited (${status}) before it was ready`, code || 1);
    });
    if (child.pid !== undefined) reportStarted(libc, child.pid);
  } catch (error) {
    // Some runtimes throw an error that others report as an event.
    fail(`cannot start the new process: ${(error as Error).message}`, 1);
  }
}
