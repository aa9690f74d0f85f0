/** What a scenario of the fault suite is. */
import type { Target } from "../support/target.ts";
import type { Failure } from "./load.ts";
import type { Stage } from "./stage.ts";

/** How much of everything there is: all of it, or what continuous integration has time for. */
export interface Form {
  readonly name: "full" | "short";
  /** Clients of the load that are connected at once. */
  readonly clients: number;
  /** How long what is repeated goes on, in milliseconds. */
  readonly span: number;
  /** Divides what a scenario does in large numbers. */
  readonly divisor: number;
  /** A file with inputs that a fuzzer is to send instead of its own. */
  readonly replay?: string;
}

export const forms: Readonly<Record<Form["name"], Form>> = {
  full: { name: "full", clients: 200, span: 20_000, divisor: 1 },
  short: { name: "short", clients: 40, span: 2_000, divisor: 20 },
};

/** One fault, done to a stud that serves a load. */
export interface Scenario {
  /** Short, for `--only`: words joined by `-`. */
  readonly name: string;
  /** What is done, for the report. */
  readonly title: string;
  /** Part of the short form. */
  readonly short?: boolean;
  /** Needs root, for a mount namespace of its own. */
  readonly needsRoot?: boolean;
  /** Targets of which it cannot be asked are left out. */
  readonly appliesTo?: (target: Target) => boolean;
  /** How stud is set up. */
  readonly setup?: Setup;
  /** What would be right but for a build's documented limits is allowed here too, with the reason. */
  readonly allows?: (target: Target, form: Form) => readonly Allowance[];
  /** Done once before the footprint is taken, where the fault itself needs heaps to have grown. */
  readonly warmUp?: (stage: Stage) => Promise<void>;
  /**
   * Does it, under load. Rejects when stud does not do what was promised; the failures of the load,
   * descriptors, memory and workers are judged afterwards by the runner.
   */
  run(stage: Stage): Promise<void>;
}

export interface Setup {
  /** Workers; 2 when absent. */
  readonly workers?: number;
  /** More lines of the configuration file, in hitch's form. */
  readonly lines?: readonly string[];
  /** The backend's name instead of its address. */
  readonly backendHost?: string;
  /** A file in the scenario's directory, as stud sees it, that has the log. */
  readonly logFile?: string;
  /** A command that runs the one it is given as its last words; `directory` is the scenario's own. */
  readonly wrapper?: (directory: string, form: Form) => readonly string[];
}

/** Failures of the load that are right. What no allowance covers fails the scenario. */
export interface Allowance {
  readonly reason: string;
  covers(failure: Failure): boolean;
  /** More than this many are wrong all the same. */
  readonly atMost?: number;
  /** They are reported as cut, though the handshake was not done: a worker held them. */
  readonly asCut?: boolean;
}
