import type { Config } from "../options/config.ts";
import type { LogEntry } from "../log.ts";
import type { Certificate, IpEndpoint } from "../runtime/types.ts";

/** What the master tells a worker. */
export type Order =
  | StartOrder
  /** Serve another slot's queue too, until its own worker is back. */
  | { readonly type: "adopt"; readonly slot: number }
  | { readonly type: "release"; readonly slot: number }
  /** Accept no more and leave with the last connection. */
  | { readonly type: "drain" }
  | { readonly type: "ping" };

/** Everything a worker needs; it reads no file and resolves no name. */
export interface StartOrder {
  readonly type: "start";
  /** 1 for the first worker. */
  readonly slot: number;
  readonly config: Config;
  readonly certificates: readonly NamedCertificate[];
  readonly backend: IpEndpoint;
  readonly backendSources: readonly IpEndpoint[];
  readonly frontends: readonly Frontend[];
  /** Numeric ids to become once everything is open; absent: stay who we are. */
  readonly user?: Ids;
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** A certificate with the names (lower case) for which it is chosen by SNI. */
export interface NamedCertificate extends Certificate {
  readonly names: readonly string[];
}

/** One listening address; `fds` holds the descriptor inherited for slot 1, 2 … where there are any. */
export interface Frontend {
  readonly endpoint: IpEndpoint;
  readonly fds: readonly number[];
}

/** What a worker tells the master. */
export type Report =
  /** All sockets accept. */
  | { readonly type: "ready" }
  /** It cannot serve and leaves; `message` is one line for the operator. */
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "log"; readonly entry: LogEntry }
  /** It wants a successor, since its TLS library remembers too many names; it serves until then. */
  | { readonly type: "retiring" }
  | { readonly type: "pong" };

const levels = ["debug", "info", "warn", "error"];

/**
 * The report in a decoded frame, or undefined when it is none: a worker that was taken over by an
 * attacker must not be able to confuse the master.
 */
export function parseReport(value: unknown): Report | undefined {
  if (!isObject(value)) return undefined;
  switch (value.type) {
    case "ready":
    case "retiring":
    case "pong":
      return { type: value.type };
    case "failed":
      return typeof value.message === "string"
        ? { type: "failed", message: value.message }
        : undefined;
    case "log":
      return isLogEntry(value.entry) ? { type: "log", entry: value.entry } : undefined;
    default:
      return undefined;
  }
}

function isLogEntry(value: unknown): value is LogEntry {
  return isObject(value) && levels.includes(value.level as string) &&
    typeof value.event === "string" && typeof value.message === "string" &&
    isObject(value.facts) && Object.values(value.facts).every(isScalar);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
