import { readFileSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import process from "node:process";
import { UsageError } from "./errors.ts";
import { OCSP_WORD } from "./ocsp/command_line.ts";
import { type Command, parseCommandLine, type Surroundings } from "./options/command_line.ts";
import type { Dialect } from "./options/config.ts";
import type { Runtime } from "./runtime/types.ts";
import { check, serve } from "./service.ts";
import { isDaemonChild, reportProblems, spawnDaemon } from "./system/daemon.ts";
import { LogFileError } from "./system/log_file.ts";
import { versionText } from "./version.ts";
import { WORKER_WORD } from "./worker/command_line.ts";
import { runWorker } from "./worker/worker.ts";

/**
 * The program: reads the command line and becomes the master, or, when the master started it, a
 * worker or its helper for OCSP. Exit codes as those of stud and hitch: 0 after a stop that was
 * asked for, 1 after any error, and hitch's 2 when the log file cannot be opened.
 */
export async function main(runtime: Runtime): Promise<void> {
  const argv = process.argv.slice(2);
  // Without a handler Node opens a debugger's port, and others end. The master opens its log again.
  process.on("SIGUSR1", () => {});
  if (argv[0] === WORKER_WORD) return runWorker(runtime);
  if (argv[0] === OCSP_WORD) {
    // It brings an ASN.1 library along, which nobody else needs.
    const { runOcsp } = await import("./ocsp/ocsp_process.ts");
    return runOcsp(runtime);
  }
  const isDaemon = isDaemonChild();
  const surroundings = surroundingsOf(process.cwd());
  let dialect = surroundings.dialect;
  try {
    const read = () => parseCommandLine(argv, runtime, surroundings);
    const command = read();
    if ("config" in command) dialect = command.config.dialect;
    await obey(runtime, argv, command, { read, isDaemon, surroundings });
  } catch (error) {
    const problems = problemsOf(error, dialect);
    const code = error instanceof LogFileError && dialect === "hitch" ? 2 : 1;
    if (isDaemon) reportProblems(runtime.libc, code, problems);
    for (const problem of problems) console.error(problem);
    process.exit(code);
  }
}

interface Start {
  /** Reads the command line and all files again. */
  read(): Command;
  readonly isDaemon: boolean;
  readonly surroundings: OwnSurroundings;
}

async function obey(
  runtime: Runtime,
  argv: readonly string[],
  command: Command,
  { read, isDaemon, surroundings }: Start,
): Promise<void> {
  switch (command.kind) {
    case "help":
    case "default-config":
      return console.log(command.text.trimEnd());
    case "usage":
      console.log(command.text.trimEnd());
      console.error("");
      return process.exit(1);
    case "version":
      return console.log(versionText(runtime));
    case "test":
      return await check(runtime, command);
    case "demo": {
      const { demo } = await import("./demo/demo.ts");
      const { config, invitation } = await demo(command.config, runtime.libc);
      await serve(runtime, { ...command, config }, { read, isDaemon });
      return console.log(invitation);
    }
    case "run":
      if (command.config.daemon && !isDaemon) {
        // It is started by its own name, not by that of a link to it.
        const words = [`--compat=${command.config.dialect}`, ...argv];
        return await startDaemon(runtime, words, surroundings.input());
      }
      return await serve(runtime, command, { read, isDaemon });
  }
}

async function startDaemon(
  runtime: Runtime,
  argv: readonly string[],
  input: string | undefined,
): Promise<void> {
  const { code, output, problems } = await spawnDaemon(
    runtime.self,
    argv,
    input === undefined ? {} : { input },
  );
  for (const line of output) console.log(line);
  for (const problem of problems) console.error(problem);
  process.exit(code);
}

interface OwnSurroundings extends Surroundings {
  /** What was read from standard input, if anything was. */
  input(): string | undefined;
}

function surroundingsOf(workingDirectory: string): OwnSurroundings {
  let input: string | undefined;
  return {
    dialect: dialectOf(programName()),
    workingDirectory,
    readFile(path) {
      if (path !== "-") return readFileSync(resolve(workingDirectory, path), "utf8");
      input ??= readFileSync(0, "utf8");
      return input;
    },
    isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
    input: () => input,
  };
}

function dialectOf(program: string): Dialect {
  return basename(program) === "hitch" ? "hitch" : "stud";
}

/** As it was called: the runtimes tell the file behind a symbolic link, or their own name. */
function programName(): string {
  return readFileSync("/proc/self/cmdline", "utf8").split("\0", 1)[0]!;
}

function problemsOf(error: unknown, dialect: Dialect): string[] {
  if (!(error instanceof UsageError)) {
    const message = error instanceof Error ? error.message : String(error);
    return [`${dialect}: internal error: ${message}; please report it`];
  }
  // hitch puts no name before its texts.
  return error.problems.map((problem) => dialect === "stud" ? `stud: ${problem}` : problem);
}
