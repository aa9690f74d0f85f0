import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { UsageError } from "./base/errors.ts";
import { print, printError } from "./base/print.ts";
import { readFile, readStandardInput } from "./base/read_file.ts";
import { readSettled } from "./base/settled.ts";
import { directoryFault } from "./base/directory_fault.ts";
import { type Command, type CommandLineContext, parseCommandLine } from "./options/command_line.ts";
import { SubcommandError } from "./options/subcommand.ts";
import type { Runtime } from "./runtime/runtime.ts";
import { check } from "./service/check.ts";
import { serve } from "./service/service.ts";
import type { ServeOptions } from "./service/state.ts";
import { isDaemonChild, spawnDaemon } from "./upgrade/daemon.ts";
import { LogFileError } from "./log/log_file.ts";
import { randomSecret } from "./tickets/ring.ts";
import { ownProgram, type Program } from "./upgrade/program.ts";
import { isSuccessor, Predecessor } from "./upgrade/successor.ts";
import { reportStartupResult } from "./upgrade/startup_result.ts";
import { versionText } from "./service/version.ts";

/**
 * Runs the user's command line, usually as the master. Exit codes: 0 after a stop that cut no
 * connection, 3 after one that did, 1 after any error, and hitch's 2 if the log file cannot be
 * opened. Commands such as `stud status` have results of their own, and 2 after an error.
 */
export async function runCommand(runtime: Runtime, argv: readonly string[]): Promise<void> {
  const startedAs = { daemon: isDaemonChild(), successor: isSuccessor() };
  const own = ownProgram(runtime.self, argv);
  let { dialect } = own;
  let failure = 1;
  try {
    const predecessor = startedAs.successor ? new Predecessor(runtime.libc) : undefined;
    const { workingDirectory = own.workingDirectory } = predecessor?.handover ?? {};
    const program = { ...own, workingDirectory };
    const context = contextOf(program);
    const { input } = context;
    const isDaemon = predecessor ? predecessor.handover.isDaemon : startedAs.daemon;
    const read = () => parseCommandLine(argv, runtime, context);
    const command = read();
    if ("config" in command) dialect = command.config.dialect;
    if (command.kind === "subcommand") failure = 2;
    const options = { read, isDaemon, program, input, ...(predecessor ? { predecessor } : {}) };
    await handle(runtime, command, options);
  } catch (error) {
    const isHitchLog = error instanceof LogFileError && dialect === "hitch";
    const code = isHitchLog || error instanceof SubcommandError ? 2 : failure;
    const problems = problemsOf(error);
    // hitch's messages do not begin with its name.
    const lines = dialect === "stud" ? problems.map((problem) => `stud: ${problem}`) : problems;
    const result = { code, output: [], problems: startedAs.successor ? problems : lines };
    const isReported = (startedAs.successor || startedAs.daemon) &&
      reportStartupResult(runtime.libc, result);
    if (!isReported) { for (const line of lines) printError(line); }
    process.exit(code);
  }
}

async function handle(
  runtime: Runtime,
  command: Command,
  options: ServeOptions,
): Promise<void> {
  if ("config" in command) requireProc();
  switch (command.kind) {
    case "default-config":
      for (const warning of command.warnings) printError(`stud: ${warning}`);
      return print(command.text);
    case "help":
      return print(`${command.text.trimEnd()}\n`);
    case "usage":
      print(`${command.text.trimEnd()}\n`);
      printError("");
      return process.exit(1);
    case "new-ticket-secret":
      return print(`${randomSecret()}\n`);
    case "version":
      return print(`${versionText(runtime)}\n`);
    case "test":
      return print(await check(runtime, command));
    case "subcommand":
      return process.exit(await (await import("./commands/commands.ts")).runSubcommand(command));
    case "demo": {
      const { demo } = await import("./demo/demo.ts");
      const { config, invitation } = await demo(command.config, runtime.libc);
      await serve(runtime, { ...command, config }, options);
      return printIfPossible(`${invitation}\n`);
    }
    case "run":
      if (command.config.daemon && !options.isDaemon && !options.predecessor) {
        return await startDaemon(options);
      }
      return await serve(runtime, command, options);
  }
}

/** Descriptors are passed, and processes started, by paths in it. */
function requireProc(): void {
  if (existsSync("/proc/self/fd")) return;
  throw new UsageError("/proc is missing; mount it: mount -t proc proc /proc");
}

/** For a service that runs already, whose end would be worse. */
function printIfPossible(text: string): void {
  try {
    print(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
  }
}

async function startDaemon({ program, input }: ServeOptions): Promise<void> {
  if (process.pid === 1) {
    throw new UsageError(
      "--daemon: this is process 1 of its container, which would end with it; omit --daemon",
    );
  }
  const text = input();
  const { code, output, problems } = await spawnDaemon(
    program.command,
    program.argv,
    { directory: program.workingDirectory, ...(text === undefined ? {} : { input: text }) },
  );
  for (const line of output) printIfPossible(`${line}\n`);
  for (const problem of problems) printError(problem);
  process.exit(code);
}

interface OwnContext extends CommandLineContext {
  /** The text read from standard input; undefined if nothing was read. */
  input(): string | undefined;
}

function contextOf({ workingDirectory, dialect }: Program): OwnContext {
  let input: string | undefined;
  return {
    dialect,
    workingDirectory,
    readFile(path) {
      if (path !== "-") {
        const file = resolve(workingDirectory, path);
        return readSettled(file, () => readFile(file, { also: "stream" }).toString());
      }
      input ??= readStandardInput("standard input").toString();
      return input;
    },
    directoryFault,
    input: () => input,
  };
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof UsageError) return error.problems;
  const message = error instanceof Error ? error.message : String(error);
  return [`internal error: ${message}; please report it`];
}
