/** What a worker's limits come to in numbers. */
import { readFileSync } from "node:fs";
import type { Limits } from "../options/config.ts";

/** Descriptors that are kept for everything that is not a connection. */
const RESERVED_DESCRIPTORS = 64;
/** A client and its backend. */
const DESCRIPTORS_EACH = 2;
/** So many clients may come out of a full queue in one turn, and each of them is in mid-handshake. */
const LEAST_AUTO_HANDSHAKES = 1024;

export interface WorkerLimits {
  readonly connections: number;
  /** What `connections` comes from, in words that follow "as many as" and an allowance. */
  readonly reason: string;
  readonly handshakes: number;
  /** Connections that were asked for and that descriptors do not suffice for. */
  readonly tooMany?: number;
}

/**
 * A worker's limits under this limit of descriptors. Those of descriptors count whatever was asked
 * for, and are one connection at the least.
 */
export function workerLimits(limits: Limits, descriptors: number): WorkerLimits {
  const affordable = Math.floor((descriptors - RESERVED_DESCRIPTORS) / DESCRIPTORS_EACH);
  const asked = limits.workerConnections === "auto" ? Infinity : limits.workerConnections;
  const connections = Math.max(1, Math.min(asked, affordable));
  const auto = Math.max(Math.floor(connections / 4), LEAST_AUTO_HANDSHAKES);
  return {
    connections,
    reason: asked <= affordable
      ? "--max-worker-connections allows"
      : "the descriptor limit allows (raise ulimit -n or add workers)",
    handshakes: limits.handshakes === "auto" ? auto : limits.handshakes,
    ...(Number.isFinite(asked) && asked > affordable ? { tooMany: asked } : {}),
  };
}

/** RLIMIT_NOFILE of this process. */
export function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
