import { statSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { UsageError } from "./base/errors.ts";
import { readFile, readStandardInput } from "./base/read_file.ts";
import { type Command, type CommandLineContext, parseCommandLine } from "./options/command_line.ts";
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
 * What a user started: reads the command line and obeys it, most often by becoming the master.
 * Exit codes: 0 after a stop that cut no connection, 3 after one that did, 1 after any error, and
 * hitch's 2 when the log file cannot be opened.
 */
export async function runCommand(runtime: Runtime, argv: readonly string[]): Promise<void> {
  const isAwaited = { asDaemon: isDaemonChild(), asSuccessor: isSuccessor() };
  const program = ownProgram(runtime.self, argv);
  const context = contextOf(program);
  const { input } = context;
  let { dialect } = program;
  try {
    const predecessor = isAwaited.asSuccessor ? new Predecessor(runtime.libc) : undefined;
    const isDaemon = predecessor ? predecessor.handover.isDaemon : isAwaited.asDaemon;
    const read = () => parseCommandLine(argv, runtime, context);
    const command = read();
    if ("config" in command) dialect = command.config.dialect;
    const options = { read, isDaemon, program, input, ...(predecessor ? { predecessor } : {}) };
    await handle(runtime, command, options);
  } catch (error) {
    const code = error instanceof LogFileError && dialect === "hitch" ? 2 : 1;
    const problems = problemsOf(error);
    // hitch puts no name before its texts.
    const lines = dialect === "stud" ? problems.map((problem) => `stud: ${problem}`) : problems;
    const verdict = { code, output: [], problems: isAwaited.asSuccessor ? problems : lines };
    const isTold = (isAwaited.asSuccessor || isAwaited.asDaemon) &&
      reportStartupResult(runtime.libc, verdict);
    if (!isTold) { for (const line of lines) console.error(line); }
    process.exit(code);
  }
}

async function handle(
  runtime: Runtime,
  command: Command,
  options: ServeOptions,
): Promise<void> {
  switch (command.kind) {
    case "help":
    case "default-config":
      return console.log(command.text.trimEnd());
    case "usage":
      console.log(command.text.trimEnd());
      console.error("");
      return process.exit(1);
    case "new-ticket-secret":
      return console.log(randomSecret());
    case "version":
      return console.log(versionText(runtime));
    case "test":
      return await check(runtime, command);
    case "demo": {
      const { demo } = await import("./demo/demo.ts");
      const { config, invitation } = await demo(command.config, runtime.libc);
      await serve(runtime, { ...command, config }, options);
      return console.log(invitation);
    }
    case "run":
      if (command.config.daemon && !options.isDaemon && !options.predecessor) {
        return await startDaemon(options);
      }
      return await serve(runtime, command, options);
  }
}

async function startDaemon({ program, input }: ServeOptions): Promise<void> {
  const text = input();
  const { code, output, problems } = await spawnDaemon(
    program.command,
    program.argv,
    text === undefined ? {} : { input: text },
  );
  for (const line of output) console.log(line);
  for (const problem of problems) console.error(problem);
  process.exit(code);
}

interface OwnContext extends CommandLineContext {
  /** What was read from standard input, if anything was. */
  input(): string | undefined;
}

function contextOf({ workingDirectory, dialect }: Program): OwnContext {
  let input: string | undefined;
  return {
    dialect,
    workingDirectory,
    readFile(path) {
      if (path !== "-") {
        return readFile(resolve(workingDirectory, path), { also: "stream" }).toString();
      }
      input ??= readStandardInput("standard input").toString();
      return input;
    },
    isDirectory: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
    input: () => input,
  };
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof UsageError) return error.problems;
  const message = error instanceof Error ? error.message : String(error);
  return [`internal error: ${message}; please report it`];
}
