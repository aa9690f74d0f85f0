/** The errors that `--log-quiet` silences: by class, or one by one by the code of a failure. */
import type { LogEntry } from "./log_entry.ts";

/** What belongs to a class: everything with this source, and everything with one of these codes. */
interface ErrorClass {
  readonly source?: string;
  readonly codes: readonly string[];
}

const classes: Readonly<Record<string, ErrorClass>> = {
  "client": { source: "client", codes: [] },
  "backend": { source: "backend", codes: [] },
  "limit": { source: "limit", codes: ["handshake-evicted", "source-limit", "source-rate"] },
  "handshake": {
    codes: [
      ...["handshake-failed", "handshake-timeout", "handshake-evicted", "client-certificate"],
      "backend-handshake",
    ],
  },
  "certificate": { codes: ["client-certificate"] },
  "health-check": { codes: ["client-left"] },
  "proxy": { codes: ["proxy-header", "untrusted-proxy"] },
  "lost": {
    codes: [
      ...["client-reset", "client-truncated", "backend-reset", "backend-truncated"],
      ...["tls-error", "half-close-timeout"],
    ],
  },
  "outage": { codes: ["backend-refused", "backend-unreachable", "backend-timeout"] },
  "timeout": { codes: ["handshake-timeout", "idle-timeout", "lifetime", "half-close-timeout"] },
};

/** The names of the classes, in the order in which help lists them. */
export const ERROR_CLASSES: readonly string[] = Object.keys(classes);

/** The codes that can be silenced alone: those of every class. */
export const QUIET_CODES: readonly string[] = [
  ...new Set(Object.values(classes).flatMap(({ codes }) => codes)),
];

/** What cannot be silenced: these are faults of stud or of its surroundings. */
export const LOUD: readonly string[] = ["internal", "internal-error", "backend-no-ports"];

/** Whether an entry belongs to one of these classes, or has one of these codes. */
export function isQuiet(
  quiet: readonly string[],
  { event, facts: { source, code } }: LogEntry,
): boolean {
  if (quiet.length === 0 || source === "internal") return false;
  // These end a problem, and have neither.
  if (event === "backend-resolved") return quiet.includes("backend");
  if (event === "backend-recovered") return quiet.includes("backend") || quiet.includes("outage");
  return quiet.some((name) => {
    const found = classes[name];
    if (!found) return name === code;
    return found.codes.includes(String(code)) || (source !== undefined && found.source === source);
  });
}
