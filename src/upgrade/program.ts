/** How this program was called, so that another version of it can be started in its place. */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Dialect } from "../base/dialect.ts";
import { runningFile } from "../os/constants.ts";

export interface Program {
  /**
   * What stands before the user's words: the executable with its whole path and, where a runtime
   * runs a script, the runtime's own words.
   */
  readonly command: readonly string[];
  readonly argv: readonly string[];
  /** By the name under which it was called. */
  readonly dialect: Dialect;
  /** Absolute. */
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What was meant for one process alone: another one has other sockets and another pid. */
const OWN_VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/**
 * The running program, to be asked for at its start. A symbolic link by which it was called stays
 * one, so that it may point to another version later. `self` starts it where its own name does not.
 */
export function ownProgram(self: readonly string[], argv: readonly string[]): Program {
  const words = commandLine();
  const own = words.slice(0, words.length - argv.length);
  const isWhole = argv.every((word, i) => word === words[own.length + i]);
  const [name = "", ...more] = isWhole ? own : [];
  const workingDirectory = process.cwd();
  const file = calledFile(name, {
    workingDirectory,
    path: process.env.PATH ?? "",
    isIt: isRunningFile,
  });
  const command = file === undefined ? [process.execPath, ...self.slice(1)] : [file, ...more];
  const environment = { ...process.env };
  for (const variable of OWN_VARIABLES) delete environment[variable];
  const dialect = dialectOf(words[0] ?? "");
  const isKept = dialectOf(command[0]!) === dialect;
  return {
    command,
    argv: isKept ? argv : [`--compat=${dialect}`, ...argv],
    dialect,
    workingDirectory,
    environment,
  };
}

/** The dialect of who is called so. */
export function dialectOf(program: string): Dialect {
  return basename(program) === "hitch" ? "hitch" : "stud";
}

/**
 * The absolute path behind the first word of a command line, found as a shell does; undefined where
 * no file there is the one that runs, since a caller may choose any word.
 */
export function calledFile(
  name: string,
  { workingDirectory, path, isIt }: {
    readonly workingDirectory: string;
    readonly path: string;
    isIt(file: string): boolean;
  },
): string | undefined {
  if (name === "") return undefined;
  const places = name.includes("/")
    ? [resolve(workingDirectory, name)]
    : path.split(":").map((directory) => join(resolve(workingDirectory, directory), name));
  const found = places.find(isExecutable);
  return found !== undefined && isIt(found) ? found : undefined;
}

/** The runtimes tell the file behind a symbolic link, or their own name. */
function commandLine(): string[] {
  return readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
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
  const [here, running] = [statSync(file), statSync(runningFile)];
  return here.dev === running.dev && here.ino === running.ino;
}
