import type { LogEntry } from "../base/log_entry.ts";
import { fieldsText, knownFields } from "./format.ts";
import { type AccessRecord, FIELDS } from "./record.ts";

/** Those that a log entry has without it. */
const OF_ENTRY: readonly string[] = ["time", "client", "worker", "pid", "connection", "uniqueId"];
/** Those that are known when the connection has ended. */
const OF_END: readonly string[] = ["received", "sent", "total", "reason", "by"];

/** Returns what the log says of a connection at `--log-level 2`: the facts of the access log. */
export function connectionFacts(
  record: AccessRecord,
  when: "established" | "closed",
): { readonly text: string; readonly facts: LogEntry["facts"] } {
  const known = knownFields(record);
  const names = FIELDS.filter((name) =>
    name in known && !OF_ENTRY.includes(name) && (when === "closed" || !OF_END.includes(name))
  );
  return {
    text: fieldsText(record, names),
    facts: Object.fromEntries(names.map((name) => [name, known[name]!])),
  };
}
