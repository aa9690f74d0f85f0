/** A worker's limits in numbers. */
import { readFileSync } from "node:fs";
import type { Limits } from "../options/config.ts";

/** Descriptors reserved for everything but connections, with a few listening sockets … */
const RESERVED_DESCRIPTORS = 64;
/** … and with many: for the runtime and the control channel; each socket adds its own. */
const RESERVED_WITHOUT_SOCKETS = 40;
/** One inherited, a copy to accept from, and a copy to pause. */
const DESCRIPTORS_PER_SOCKET = 3;
/** A client and its backend. */
const DESCRIPTORS_PER_CONNECTION = 2;
/** Clients that a full queue may yield in one event loop turn; each is then in its handshake. */
const MIN_AUTO_HANDSHAKES = 1024;

/** The settings behind the limits. */
export type LimitSettings = Pick<Limits, "handshakes" | "workerConnections">;

export interface WorkerLimits {
  readonly connections: number;
  /** What sets `connections`, for the log. */
  readonly reason: string;
  /** The same for counters. */
  readonly limit: "max-worker-connections" | "open-files";
  readonly handshakes: number;
  /** The configured number of connections, if the descriptor limit does not allow it. */
  readonly tooMany?: number;
}

/**
 * Returns a worker's limits. `descriptors` is its descriptor limit, `sockets` the number of its
 * listening sockets. Descriptors bound any configured number; at least one connection is allowed.
 */
export function workerLimits(
  limits: LimitSettings,
  descriptors: number,
  sockets: number,
): WorkerLimits {
  const others = RESERVED_WITHOUT_SOCKETS + DESCRIPTORS_PER_SOCKET * sockets;
  const reserved = Math.max(RESERVED_DESCRIPTORS, others);
  const affordable = Math.floor((descriptors - reserved) / DESCRIPTORS_PER_CONNECTION);
  const requested = limits.workerConnections === "auto" ? Infinity : limits.workerConnections;
  const connections = Math.max(1, Math.min(requested, affordable));
  const auto = Math.max(Math.floor(connections / 4), MIN_AUTO_HANDSHAKES);
  return {
    connections,
    reason: requested <= affordable
      ? "--max-worker-connections"
      : "the descriptor limit: raise ulimit -n or add workers",
    limit: requested <= affordable ? "max-worker-connections" : "open-files",
    handshakes: limits.handshakes === "auto" ? auto : limits.handshakes,
    ...(Number.isFinite(requested) && requested > affordable ? { tooMany: requested } : {}),
  };
}

/** Returns the soft RLIMIT_NOFILE of this process. */
export function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
