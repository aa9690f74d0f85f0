/** What a worker's limits come to in numbers. */
import { readFileSync } from "node:fs";
import type { Limits } from "../options/config.ts";

/** Descriptors that are kept for everything that is not a connection, with a few sockets … */
const RESERVED_DESCRIPTORS = 64;
/** … and with many: for the runtime and the channel, and for each socket. */
const RESERVED_WITHOUT_SOCKETS = 40;
/** It is inherited, copied to be served, and copied again to be paused. */
const DESCRIPTORS_EACH_SOCKET = 3;
/** A client and its backend. */
const DESCRIPTORS_EACH = 2;
/** So many clients may come out of a full queue in one turn, and each of them is in mid-handshake. */
const MIN_AUTO_HANDSHAKES = 1024;

/** What they are made from. */
export type LimitSettings = Pick<Limits, "handshakes" | "workerConnections">;

export interface WorkerLimits {
  readonly connections: number;
  /** What `connections` comes from, in words that follow it. */
  readonly reason: string;
  readonly handshakes: number;
  /** Connections that were asked for and that descriptors do not suffice for. */
  readonly tooMany?: number;
}

/**
 * A worker's limits under this limit of descriptors and with so many listening sockets. What
 * descriptors suffice for counts whatever was asked for, and is one connection at the least.
 */
export function workerLimits(
  limits: LimitSettings,
  descriptors: number,
  sockets: number,
): WorkerLimits {
  const others = RESERVED_WITHOUT_SOCKETS + DESCRIPTORS_EACH_SOCKET * sockets;
  const reserved = Math.max(RESERVED_DESCRIPTORS, others);
  const affordable = Math.floor((descriptors - reserved) / DESCRIPTORS_EACH);
  const asked = limits.workerConnections === "auto" ? Infinity : limits.workerConnections;
  const connections = Math.max(1, Math.min(asked, affordable));
  const auto = Math.max(Math.floor(connections / 4), MIN_AUTO_HANDSHAKES);
  return {
    connections,
    reason: asked <= affordable
      ? "as --max-worker-connections says"
      : "all that the descriptor limit allows (raise ulimit -n or add workers)",
    handshakes: limits.handshakes === "auto" ? auto : limits.handshakes,
    ...(Number.isFinite(asked) && asked > affordable ? { tooMany: asked } : {}),
  };
}

/** RLIMIT_NOFILE of this process. */
export function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
