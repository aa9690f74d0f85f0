import { UsageError } from "../base/errors.ts";
import { printError } from "../base/print.ts";
import { LogFileError } from "../log/log_file.ts";
import type { Prepared } from "../master/prepare.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { outputProblems } from "./output_paths.ts";
import { prepareCommand, problemWithPlace, warningWithPlace } from "./prepare_command.ts";
import { datesOfPrepared } from "./report.ts";
import { makePrepareContext, type Serving } from "./state.ts";

/**
 * `--test`: checks everything that can be checked without serving. Returns the lines for standard
 * output. Rejected with a UsageError that has all problems, those of the command line included; it
 * is a LogFileError if the log file is among them.
 */
export async function check(runtime: Runtime, command: Serving): Promise<string> {
  const { config: { dialect }, places } = command;
  if (dialect === "hitch") {
    printError("Trying to initialize SSL contexts with your certificates");
  }
  const problems = [...command.problems];
  let prepared: Prepared | undefined;
  try {
    prepared = await prepareCommand(makePrepareContext(runtime), command);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    problems.push(...error.problems);
  }
  const { log, others } = outputProblems(command.config);
  // hitch does not look at the others: their directories may be made by the service manager.
  const [faults, ignored] = dialect === "hitch" ? [log, others] : [[...log, ...others], []];
  problems.push(...faults.map((fault) => problemWithPlace(fault, places)));
  // The settings that are missing could be those that were meant to prevent a warning.
  const later = command.problems.length > 0 || !prepared ? [] : [
    ...prepared.warnings,
    ...datesOfPrepared(prepared, places).map(({ text }) => text),
  ];
  for (
    const warning of [
      ...command.warnings,
      ...later,
      ...ignored.map((each) => warningWithPlace(each, places)),
    ]
  ) {
    printError(`${dialect}: ${warning}`);
  }
  if (log.length > 0) throw new LogFileError([...new Set(problems)]);
  if (problems.length > 0) throw new UsageError([...new Set(problems)]);
  if (dialect === "stud") return "stud configuration looks ok.\n";
  printError("hitch configuration looks ok.");
  return "";
}
