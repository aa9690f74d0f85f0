/** The load, in a process of its own: clients that check every byte they send and get. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Endpoint } from "../support/endpoints.ts";
import { within } from "../support/until.ts";

export interface LoadOptions {
  readonly frontend: Endpoint;
  /** Connections at once. A quarter of them live as long as the load. */
  readonly clients: number;
  /** Makes the bytes, the sizes and the pauses. */
  readonly seed: number;
  /** Milliseconds without progress after which a connection is late; 40 s when absent. */
  readonly patience?: number;
}

/**
 * A connection that did not go as it should. `refused`: it ended before its handshake was done;
 * `cut`: after that, and before the last byte had come back and the other side had ended; `late`:
 * nothing moved for the load's patience; `corrupted`: other bytes came back than were sent.
 */
export interface Failure {
  readonly kind: "refused" | "cut" | "corrupted" | "late";
  readonly phase: "connect" | "handshake" | "exchange";
  /** The system's or TLS library's code, or a word of ours. */
  readonly code: string;
  /** The client's address and port, as `127.1.0.1:40000`; without the port if it never had one. */
  readonly client: string;
  /** When it began and when it failed, in milliseconds since 1970. */
  readonly from: number;
  readonly until: number;
}

/** What was measured since the last lap, in milliseconds. */
export interface Lap {
  /** Connections that ended well. */
  readonly connections: number;
  readonly handshake: Percentiles;
  readonly roundTrip: Percentiles;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Of the whole load. */
export interface LoadResults {
  /** Begun, whatever came of them. */
  readonly connections: number;
  /** Sent and got back unchanged. */
  readonly bytes: number;
  /** The first {@link MAX_FAILURES}. */
  readonly failures: readonly Failure[];
  /** Failures beyond those. */
  readonly unlisted: number;
}

/** A load that fails throughout is to tell so, not to fill the memory. */
export const MAX_FAILURES = 20_000;

/** What the process is told, and what it says. */
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

  /** Connections that live as long as the load end in good order, and others take their places. */
  renew(): void {
    this.#process.send({ type: "renew" } satisfies LoadOrder);
  }

  /** Every connection ends in good order, or counts as a failure. */
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
    await within(reportOf(child, "running"), "the load begins", patience + 20_000);
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
    throw new Error(`the load's process ended (${signal ?? code})`);
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
