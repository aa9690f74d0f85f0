/** How this program was started, so that another version of it can replace this process. */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Dialect } from "../base/dialect.ts";
import { runningFile } from "../os/constants.ts";

export interface Program {
  /**
   * The absolute path of the executable and, if a runtime runs a script, the runtime's own
   * arguments.
   */
  readonly command: readonly string[];
  /** The user's arguments. */
  readonly argv: readonly string[];
  /** The dialect of the name under which it was started. */
  readonly dialect: Dialect;
  /** An absolute path. */
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Variables for one process only: another one has other sockets and another pid. */
const PROCESS_VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/**
 * Describes the running program; to be called at its start. A symbolic link in its name is kept,
 * since it may point to another version later. `self` is the command to use if its name does not
 * lead to it; `argv` has the user's arguments.
 */
export function ownProgram(self: readonly string[], argv: readonly string[]): Program {
  const words = commandLine();
  const own = words.slice(0, words.length - argv.length);
  const isWhole = argv.every((word, i) => word === words[own.length + i]);
  const [name = "", ...more] = isWhole ? own : [];
  const workingDirectory = currentDirectory();
  const file = findExecutable(name, {
    workingDirectory,
    path: process.env.PATH ?? "",
    isOwn: isRunningFile,
  });
  const command = file === undefined ? [process.execPath, ...self.slice(1)] : [file, ...more];
  const environment = { ...process.env };
  for (const variable of PROCESS_VARIABLES) delete environment[variable];
  const dialect = dialectOf(words[0] ?? process.argv0);
  const impliesDialect = dialectOf(command[0]!) === dialect;
  return {
    command,
    argv: impliesDialect ? argv : [`--compat=${dialect}`, ...argv],
    dialect,
    workingDirectory,
    environment,
  };
}

/** Returns the dialect of a program by its file name. */
export function dialectOf(program: string): Dialect {
  return basename(program) === "hitch" ? "hitch" : "stud";
}

/**
 * Returns the absolute path of the first word of a command line, found as a shell does. Undefined
 * if the file is not the running one (`isOwn`), since the caller of exec may choose any word.
 */
export function findExecutable(
  name: string,
  { workingDirectory, path, isOwn }: {
    readonly workingDirectory: string;
    readonly path: string;
    isOwn(file: string): boolean;
  },
): string | undefined {
  if (name === "") return undefined;
  const candidates = name.includes("/")
    ? [resolve(workingDirectory, name)]
    : path.split(":").map((directory) => join(resolve(workingDirectory, directory), name));
  const found = candidates.find(isExecutable);
  return found !== undefined && isOwn(found) ? found : undefined;
}

/**
 * From the kernel, since runtimes resolve symbolic links or report their own name. Empty without
 * /proc.
 */
function commandLine(): string[] {
  try {
    return readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** `/` if the working directory has been removed. */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return "/";
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function isRunningFile(file: string): boolean {
  const [found, running] = [statSync(file), statSync(runningFile)];
  return found.dev === running.dev && found.ino === running.ino;
}
