/** Messages between the master and the access log helper. */
import type { Dialect } from "../base/dialect.ts";
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { Ids } from "../system/ids.ts";

/** Commands to the helper: one start, then one begin, and one end if another helper replaces it. */
export type AccessLogCommand =
  | AccessLogStart
  /** Read from now on. `isTorn`: a helper before it was killed, perhaps in the middle of a line. */
  | { readonly type: "begin"; readonly isTorn: boolean }
  /** Write what was read, to the end of its last line, and exit. */
  | { readonly type: "end" };

export interface AccessLogStart {
  readonly type: "start";
  /** Absent: the lines go to descriptor {@link OUTPUT_FD}. */
  readonly syslog?: { readonly facility: number; readonly dialect: Dialect };
  /** What the kernel called the file when it was opened; absent: it cannot be renamed. */
  readonly file?: string;
  /** The user to become first; absent: no change. */
  readonly ids?: Ids;
}

/** Events of the helper. */
export type AccessLogEvent =
  | LogEvent
  /** It can begin. */
  | { readonly type: "ready" }
  /** Its file was renamed or removed. */
  | { readonly type: "moved" }
  /** These lines could not be written. */
  | { readonly type: "lost"; readonly lines: number; readonly cause: string };

/** Returns the event in a decoded frame, which is untrusted, or undefined if it is not one. */
export function parseAccessLogEvent(value: unknown): AccessLogEvent | undefined {
  const log = parseLogEvent(value);
  if (log) return log;
  if (typeof value !== "object" || value === null) return undefined;
  const { type, lines, cause } = value as Record<string, unknown>;
  if (type === "ready" || type === "moved") return { type };
  const isLost = type === "lost" && Number.isSafeInteger(lines) && (lines as number) > 0 &&
    typeof cause === "string";
  return isLost ? { type, lines: lines as number, cause } : undefined;
}
