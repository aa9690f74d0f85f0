/** The type of a scenario of the fault suite. */
import type { Target } from "../support/target.ts";
import type { Failure } from "./load.ts";
import type { Stage } from "./stage.ts";

/** The extent of a run: everything, or what continuous integration has time for. */
export interface Form {
  readonly name: "full" | "short";
  /** Concurrent clients of the load. */
  readonly clients: number;
  /** How long repeated actions last, in milliseconds. */
  readonly span: number;
  /** Divides the large repetition counts of a scenario. */
  readonly divisor: number;
  /** A file with inputs for a fuzzer to send instead of its own. */
  readonly replay?: string;
}

export const forms: Readonly<Record<Form["name"], Form>> = {
  full: { name: "full", clients: 200, span: 20_000, divisor: 1 },
  short: { name: "short", clients: 30, span: 1_500, divisor: 20 },
};

/** One fault of a stud that serves a load. */
export interface Scenario {
  /** Short, for `--only`: words joined by `-`. */
  readonly name: string;
  /** Describes the fault in the report. */
  readonly title: string;
  /** Part of the short form. */
  readonly short?: boolean;
  /** Needs root for its own mount namespace. */
  readonly needsRoot?: boolean;
  /** Whether it applies to a target. */
  readonly appliesTo?: (target: Target) => boolean;
  /** How stud is configured. */
  readonly setup?: Setup;
  /** Failures that are right, or due to a build's documented limits, with the reason. */
  readonly allows?: (target: Target, form: Form) => readonly Allowance[];
  /** Runs once before the footprint is measured, if the fault itself makes heaps grow. */
  readonly warmUp?: (stage: Stage) => Promise<void>;
  /**
   * Causes the fault under load. Rejects if stud breaks a promise; the runner judges the failures of
   * the load, descriptors, memory and workers afterwards.
   */
  run(stage: Stage): Promise<void>;
}

export interface Setup {
  /** Workers; 2 when absent. */
  readonly workers?: number;
  /** Additional lines of the configuration file, in hitch's grammar. */
  readonly lines?: Lines;
  /** The backend's name instead of its address. */
  readonly backendHost?: string;
  /** The log file in the scenario's directory, by the path that stud sees. */
  readonly logFile?: string;
  /** A command that runs the command appended to it; `directory` is the scenario's own. */
  readonly wrapper?: (directory: string, form: Form) => readonly string[];
}

/** Lines of the configuration file, which may depend on the form of the run. */
export type Lines = readonly string[] | ((form: Pick<Form, "divisor">) => readonly string[]);

/** Failures of the load that are right. Any other failure fails the scenario. */
export interface Allowance {
  readonly reason: string;
  covers(failure: Failure): boolean;
  /** More than this number are wrong nevertheless. */
  readonly atMost?: number;
  /** They count as cut although the handshake was not done: a worker held them. */
  readonly asCut?: boolean;
}
