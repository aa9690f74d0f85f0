/** Clients that continuously connect, send a request and disconnect. */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { exchange } from "./client.ts";
import type { Context } from "./context.ts";
import type { Endpoint } from "./endpoints.ts";
import { until } from "./until.ts";

/** Milliseconds between two connections of a client. */
const PAUSE = 10;

/** Milliseconds of `performance.now`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Load {
  readonly failures: (Span & { readonly code: string })[];
  /** Waits until this number of further connections has been served. */
  serves(count: number): Promise<unknown>;
  stop(): Promise<unknown>;
}

/** Needs an echo server behind the endpoint. The load ends with the behaviour at the latest. */
export function startLoad(context: Context, endpoint: Endpoint, clients: number): Load {
  let going = true;
  let served = 0;
  const failures: Load["failures"] = [];
  const client = async () => {
    while (going) {
      const from = performance.now();
      try {
        assert.equal(String(await exchange(endpoint, "hello")), "hello");
        served++;
      } catch (error) {
        const { code, message } = error as Error & { code?: string };
        failures.push({ from, to: performance.now(), code: code ?? message });
      }
      // Other behaviours need the processors too.
      await pause(PAUSE);
    }
  };
  const all = Array.from({ length: clients }, client);
  const stop = () => {
    going = false;
    return Promise.all(all);
  };
  context.after(stop);
  const serves = (count: number) => {
    const goal = served + count;
    return until(() => served >= goal, `${count} more connections of the load`);
  };
  return { failures, serves, stop };
}
