/** Messages between the master and the access log helper. */
import type { Dialect } from "../base/dialect.ts";
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { Ids } from "../system/ids.ts";

/** Commands to the helper: one start, then one begin, checks, and one end if another helper replaces it. */
export type AccessLogCommand =
  | AccessLogStart
  /** Report `ready` if the path of the file leads to it, and `moved` if not. */
  | { readonly type: "check" }
  /** Read from now on. `isTorn`: a helper before it was killed, perhaps in the middle of a line. */
  | { readonly type: "begin"; readonly isTorn: boolean }
  /** Write what was read, to the end of its last line, and exit. */
  | { readonly type: "end" };

export interface AccessLogStart {
  readonly type: "start";
  /** Where the lines go; standard output is descriptor {@link OUTPUT_FD}. */
  readonly output: AccessLogOutput;
  /** The user to become first; absent: no change. */
  readonly ids?: Ids;
}

export type AccessLogOutput =
  | "standard output"
  | { readonly syslog: { readonly facility: number; readonly dialect: Dialect } }
  /** Absolute paths, the second one of the log, which must be another file; "": there is none. */
  | { readonly file: string; readonly logFile: string };

/** Events of the helper. */
export type AccessLogEvent =
  | LogEvent
  /** It runs, and opens its output now. */
  | { readonly type: "opening" }
  /** It has opened its output and can begin; or its file was checked and is still at its path. */
  | { readonly type: "ready" }
  /** It cannot open its output, and exits. `isLog`: it is the file of the log. */
  | { readonly type: "failed"; readonly cause: string; readonly isLog: boolean }
  /** Its file was renamed or removed. */
  | { readonly type: "moved" }
  /** These lines could not be written. */
  | { readonly type: "lost"; readonly lines: number; readonly cause: string };

/** Returns the event in a decoded frame, which is untrusted, or undefined if it is not one. */
export function parseAccessLogEvent(value: unknown): AccessLogEvent | undefined {
  const log = parseLogEvent(value);
  if (log) return log;
  if (typeof value !== "object" || value === null) return undefined;
  const { type, lines, cause, isLog } = value as Record<string, unknown>;
  if (type === "opening" || type === "ready" || type === "moved") return { type };
  if (type === "failed" && typeof cause === "string" && typeof isLog === "boolean") {
    return { type, cause, isLog };
  }
  const isLost = type === "lost" && Number.isSafeInteger(lines) && (lines as number) > 0 &&
    typeof cause === "string";
  return isLost ? { type, lines: lines as number, cause } : undefined;
}
