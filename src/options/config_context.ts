import type { Build } from "./builds.ts";
import type { Dialect } from "../base/dialect.ts";

/** What a configuration depends on besides the settings, and lists for the problems found. */
export interface ConfigContext {
  readonly dialect: Dialect;
  readonly build: Build;
  /** Makes a path that the user gave absolute; "" and undefined become "". */
  readonly absolute: (path: string | undefined) => string;
  /** All files could be parsed, so a missing setting was not given. */
  readonly isComplete: boolean;
  /** A certificate is generated at start. */
  readonly generatesCertificate: boolean;
  /** Returns what a path is or lacks if it is no directory, such as `is not a directory`. */
  readonly directoryFault: (path: string) => string | undefined;
  readonly problems: string[];
  readonly warnings: string[];
}
