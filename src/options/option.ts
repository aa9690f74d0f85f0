import type { Capabilities } from "../runtime/capabilities.ts";
import type { Need } from "./builds.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Parse } from "./values.ts";

/** The headings of `--help`, in order. */
export const groups = [
  "Sockets",
  "Certificates",
  "TLS",
  "Client certificates",
  "Session resumption",
  "OCSP stapling",
  "Prefix to the backend",
  "PROXY header from clients",
  "Client mode",
  "Time limits",
  "Limits",
  "Log",
  "Admin endpoint",
  "Process",
  "Actions",
  "In blocks of a configuration file",
] as const;

/** Where an option can be given: `file` is the top level of a file, the last two its blocks. */
export type Place = "line" | "file" | "frontend" | "pem";

/**
 * How a value is written. In stud's grammar a `list` extends to the end of its line; `protocols` is
 * a list without quotes; `frontend` and `pem` are text or a block.
 */
export type Form =
  | "action"
  | "flag"
  | "number"
  | "text"
  | "list"
  | "protocols"
  | "frontend"
  | "pem";

/** The processes that read the configuration. */
export type Reader = "master" | "worker";

/** One option; its key in the table is its name in our messages and in the code. */
export interface Option {
  /**
   * Its key in the `Config`, dotted as in `sessions.timeout`, and the processes that read it: what
   * workers read is sent to them. Absent: it is combined with others (`to_config.ts`) or an action.
   */
  readonly config?: {
    readonly key: string;
    readonly readers: readonly [Reader, ...Reader[]];
  };
  readonly group: (typeof groups)[number];
  /** Its names in each dialect, the one to show first; absent: its key in the table in both. */
  readonly names?: Readonly<Record<Dialect, readonly [string, ...string[]]>>;
  readonly short?: string;
  readonly form: Form;
  /** The argument's placeholder in help. Absent: the option is a flag or an action. */
  readonly argument?: string;
  /** A value for the commented line in `--default-config`. Absent: the placeholder. */
  readonly example?: string;
  /** Absent: on the command line and at the top level of files. */
  readonly in?: readonly Place[];
  /** As the user would write it. A setting without a default is undefined unless given. */
  readonly default?: string | undefined;
  readonly help: string;
  /** Parses a value; absent for an action such as `--help`. */
  readonly parse?: Parse<unknown>;
  /** Repeatable: the setting is the list of all given values. */
  readonly repeat?: true;
  /** On hitch's command line it accepts only `on` and `off`. */
  readonly strict?: true;
  /** The value is a path, relative to the working directory. */
  readonly path?: true;
  /** The value can contain a password: no error quotes it. */
  readonly isSecret?: true;
  /** What an empty value in a file is; absent: the line is ignored, as in both originals. */
  readonly empty?: "value" | "error";
  /** It takes privileges from the workers: an empty value on the command line is an error. */
  readonly confines?: true;
  /** What the build must support, unless the value is this one or the default. */
  readonly needs?: {
    readonly need: Need;
    readonly unless: string;
    /** For a build that lacks it: returns the warning for a value that it can do without. */
    readonly permits?: (text: string, capabilities: Capabilities) => string | undefined;
  };
}

/** Compiles only with `never`; the compiler's error names any other type. */
export type Nothing<T extends never> = T;

/** The types of the values in a part of the table, by name; actions have none. */
export type SettingsOf<T extends Record<string, Option>> = {
  [N in keyof T as T[N] extends { parse: unknown } ? N : never]: T[N] extends
    { repeat: true; parse: (...given: never[]) => infer V } ? V[]
    : T[N] extends { parse: (...given: never[]) => infer V }
      ? V | (T[N] extends { default: string } ? never : undefined)
    : never;
};
