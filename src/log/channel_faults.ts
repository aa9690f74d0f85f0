import type { ChannelFaults } from "../control/child_process.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import { internalError } from "./internal_error.ts";

/** How log entries name a child process. */
export interface ChildName {
  /** The subject of the message; "" if the fact `worker` is the subject. */
  readonly subject: string;
  readonly facts: LogEntry["facts"];
}

/** Logs errors on the control channel of a child process, one line each. */
export function logChannelFaults(log: Log, { subject, facts }: ChildName): ChannelFaults {
  const prefix = subject === "" ? "" : `${subject} `;
  return {
    protocolError: (reason, pid) =>
      log({
        level: "error",
        event: "protocol-error",
        message: `${prefix}sent ${reason}, which is not the control protocol; killed pid ${pid}`,
        facts: { ...facts, pid, cause: reason },
      }),
    internalError: (error) => log(internalError(error)),
    printed: (line, pid) =>
      log({
        level: "error",
        event: "runtime-output",
        message: `${prefix}pid ${pid} printed: ${line}`,
        facts: { ...facts, pid, cause: line },
      }),
  };
}
