/** The performance targets of the builds. */
import type { ProgramName } from "./programs.ts";

/** A limit for one build and one row, without a prefix. */
export interface Target {
  readonly program: ProgramName;
  /** The row's name, as `--list` prints it. */
  readonly row: string;
  /** What is limited: the median ratio to hitch or to the best of three peers, or the figure. */
  readonly of: "hitch" | "best peer" | "figure";
  readonly limit: number;
}

/** Rows of CPU time per operation that all six programs support. */
export const CPU_ROWS = [
  "ecdsa-1.3",
  "rsa-1.3",
  "ecdsa-1.2",
  "rsa-1.2",
  "resumed-1.3",
  "resumed-1.2",
  "requests",
  "download",
  "upload",
] as const;

/** Other rows that all six programs support. */
const OTHER_ROWS = [
  "latency-p50",
  "latency-p99",
  "latency-p99.9",
  "memory",
  "start-listening",
] as const;

/** Rows that RSA-2048 signatures dominate, where BoringSSL is slower than OpenSSL and aws-lc. */
const RSA_ROWS: readonly string[] = ["rsa-1.3", "rsa-1.2"];

export const targets: readonly Target[] = [
  { program: "bun", row: "ecdsa-1.3", of: "hitch", limit: 0.5 },
  { program: "bun", row: "rsa-1.3", of: "hitch", limit: 0.95 },
  { program: "bun", row: "resumed-1.3", of: "hitch", limit: 0.55 },
  { program: "bun", row: "requests", of: "hitch", limit: 0.7 },
  { program: "bun", row: "download", of: "hitch", limit: 0.6 },
  { program: "bun", row: "memory", of: "figure", limit: 5 },
  { program: "bun", row: "start-listening", of: "figure", limit: 60 },
  { program: "deno", row: "download", of: "hitch", limit: 0.55 },
  { program: "deno", row: "ecdsa-1.3", of: "hitch", limit: 0.75 },
  { program: "deno", row: "rsa-1.3", of: "hitch", limit: 0.8 },
  { program: "deno", row: "memory", of: "figure", limit: 40 },
  ...CPU_ROWS.map((row): Target => ({ program: "node", row, of: "hitch", limit: 1.2 })),
  { program: "node", row: "memory", of: "figure", limit: 30 },
  ...[...CPU_ROWS, ...OTHER_ROWS].map((row): Target => ({
    program: RSA_ROWS.includes(row) ? "deno" : "bun",
    row,
    of: "best peer",
    limit: 1,
  })),
];
