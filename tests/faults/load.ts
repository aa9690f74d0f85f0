/** The load, in a separate process: clients that check every byte they send and receive. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Endpoint } from "../support/endpoints.ts";
import { within } from "../support/until.ts";

export interface LoadOptions {
  readonly frontend: Endpoint;
  /** Concurrent connections. A quarter of them last as long as the load. */
  readonly clients: number;
  /** Determines the bytes, the sizes and the pauses. */
  readonly seed: number;
  /** Milliseconds without progress after which a connection is late; 40 s when absent. */
  readonly patience?: number;
}

/**
 * A failed connection. `refused`: it ended before its handshake was done; `cut`: it ended later, but
 * before the last byte was received back and the other side had closed; `late`: nothing moved for
 * the load's patience; `corrupted`: the bytes received differ from those sent.
 */
export interface Failure {
  readonly kind: "refused" | "cut" | "corrupted" | "late";
  readonly phase: "connect" | "handshake" | "exchange";
  /** The code of the system or the TLS library, or one of our own. */
  readonly code: string;
  /** The client's address and port, as `127.1.0.1:40000`; without the port if it never had one. */
  readonly client: string;
  /** When it started and when it failed, in milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
}

/** Measurements since the last lap, in milliseconds. */
export interface Lap {
  /** Successful connections. */
  readonly connections: number;
  readonly handshake: Percentiles;
  readonly roundTrip: Percentiles;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The results of the whole load. */
export interface LoadResults {
  /** Started, whatever their result. */
  readonly connections: number;
  /** Sent and received back unchanged. */
  readonly bytes: number;
  /** The first {@link MAX_FAILURES}. */
  readonly failures: readonly Failure[];
  /** Failures beyond those. */
  readonly unlisted: number;
}

/** Bounds the memory of a load that fails throughout. */
export const MAX_FAILURES = 20_000;

/** Messages to the load's process and from it. */
export type LoadOrder = { readonly type: "lap" | "renew" | "stop" };
export type LoadReport =
  | { readonly type: "running" }
  | { readonly type: "lap"; readonly lap: Lap }
  | { readonly type: "results"; readonly results: LoadResults };

/** A running load. */
export class Load {
  readonly #process: ChildProcess;
  readonly #patience: number;

  constructor(child: ChildProcess, patience: number) {
    this.#process = child;
    this.#patience = patience;
  }

  /** Latencies since the last call, or since the start. */
  async lap(): Promise<Lap> {
    return (await this.#ask("lap", "lap")).lap;
  }

  /** Replaces the connections that last as long as the load: they close cleanly. */
  renew(): void {
    this.#process.send({ type: "renew" } satisfies LoadOrder);
  }

  /** Stops the load: each connection closes cleanly, or counts as a failure. */
  async stop(): Promise<LoadResults> {
    const { results } = await this.#ask("stop", "results");
    this.destroy();
    return results;
  }

  destroy(): void {
    this.#process.kill("SIGKILL");
  }

  async #ask<T extends LoadReport["type"]>(order: LoadOrder["type"], answer: T) {
    const came = reportOf(this.#process, answer);
    this.#process.send({ type: order } satisfies LoadOrder);
    return await within(came, `the load's ${answer}`, this.#patience + 20_000);
  }
}

/** Fulfilled when all clients have been served once, or have failed. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { patience = 40_000 } = options;
  const child = fork(join(import.meta.dirname, "load_process.ts"), [
    JSON.stringify({ ...options, patience }),
  ], { execArgv: [] });
  const load = new Load(child, patience);
  try {
    await within(reportOf(child, "running"), "the load starts", patience + 20_000);
  } catch (error) {
    load.destroy();
    throw error;
  }
  return load;
}

async function reportOf<T extends LoadReport["type"]>(
  child: ChildProcess,
  type: T,
): Promise<Extract<LoadReport, { readonly type: T }>> {
  const gone = new AbortController();
  const ended = once(child, "exit", { signal: gone.signal }).then(([code, signal]) => {
    throw new Error(`the load's process exited (${signal ?? code})`);
  });
  const said = (async () => {
    for (;;) {
      const [report] = await once(child, "message", { signal: gone.signal }) as [LoadReport];
      if (report.type === type) return report as Extract<LoadReport, { readonly type: T }>;
    }
  })();
  try {
    return await Promise.race([said, ended]);
  } finally {
    for (const waiting of [said, ended]) waiting.catch(() => {});
    gone.abort();
  }
}
