/**
 * What a connection costs in system calls and memory. These figures do not depend on the load of
 * the machine, so they reveal a more expensive data path where timings would not.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { openTls } from "../support/client.ts";
import { countSystemCalls } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { anonymousMemory, socketCount } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { until, within } from "../support/until.ts";

const KIB = 1024;

interface Budget {
  /** System calls for accept, handshake, connect, one exchange and close. */
  readonly connection: number;
  /** System calls to relay one small request and its answer. */
  readonly request: number;
  /** Bytes that an idle connection holds. */
  readonly idle: number;
}

/** A tenth above the measured values, a quarter for memory; docs/design.md explains Bun's calls. */
const limits: Record<Target["runtime"], Budget> = {
  bun: { connection: 49, request: 6.6, idle: 7 * KIB },
  deno: { connection: 46, request: 8, idle: 39 * KIB },
  node: { connection: 46, request: 9, idle: 45 * KIB },
};

/** Calls that a runtime makes for its threads and memory, at unpredictable times. */
const HOUSEKEEPING =
  /^(futex|madvise|mmap|munmap|mprotect|brk|sched_yield|restart_syscall|getpid)$/;

const CONNECTIONS = 100;
const REQUESTS = 500;
const WARMING_UP = 200;
/** With fewer, the allocator's granularity would distort the figure. */
const IDLE = 1000;

export const budgets: readonly Behaviour[] = [
  {
    name: "a connection costs no more system calls than its budget",
    needs: ["strace"],
    alone: true,
    async run(context) {
      const stud = await echoing(context);
      const visit = async () => {
        const client = await openTls(stud.frontend);
        await exchange(client);
        client.end();
        await within(once(client, "close"), "the close of a client");
      };
      await repeat(CONNECTIONS, visit);
      const calls = await callsFor(stud, () => repeat(CONNECTIONS, visit));
      isWithin(calls / CONNECTIONS, limits[context.target.runtime].connection, "system calls");
    },
  },
  {
    name: "a request costs no more system calls than its budget",
    needs: ["strace"],
    alone: true,
    async run(context) {
      const stud = await echoing(context);
      const client = await context.tls(stud.frontend);
      const ask = () => exchange(client);
      await repeat(REQUESTS, ask);
      const calls = await callsFor(stud, () => repeat(REQUESTS, ask));
      isWithin(calls / REQUESTS, limits[context.target.runtime].request, "system calls");
    },
  },
  {
    name: "an idle connection holds no more memory than its budget",
    alone: true,
    async run(context) {
      const stud = await echoing(context);
      const worker = stud.worker();
      const open = async () => await exchange(await context.tls(stud.frontend));
      await repeat(WARMING_UP, open);
      const baseline = anonymousMemory(worker);
      await repeat(IDLE, open);
      const least = { bytes: Infinity };
      const budget = limits[context.target.runtime].idle;
      // The garbage of the handshakes is freed whenever the collectors run.
      await until(
        () => {
          least.bytes = Math.min(least.bytes, (anonymousMemory(worker) - baseline) / IDLE);
          return least.bytes <= budget;
        },
        "the memory of idle connections is within its budget",
        20_000,
      ).catch(() => {});
      isWithin(least.bytes / KIB, budget / KIB, "KiB");
    },
  },
];

async function echoing(context: Context): Promise<Stud> {
  const backend = await context.echo();
  return await context.stud([], { backend: backend.port });
}

async function exchange(client: TLSSocket): Promise<void> {
  client.write("x".repeat(100));
  await within(once(client, "data"), "an answer");
}

async function repeat(times: number, action: () => Promise<void>): Promise<void> {
  for (let i = 0; i < times; i++) await action();
}

/** The calls of the one worker until it has closed what the action opened. */
async function callsFor(stud: Stud, action: () => Promise<void>): Promise<number> {
  const worker = stud.worker();
  const sockets = socketCount(worker);
  const counting = await countSystemCalls(worker);
  await action();
  await until(() => socketCount(worker) <= sockets, "the worker has closed its sockets");
  const calls = await counting.stop();
  return [...calls].filter(([name]) => name !== "total" && !HOUSEKEEPING.test(name))
    .reduce((sum, [, count]) => sum + count, 0);
}

function isWithin(measured: number, budget: number, unit: string): void {
  assert.ok(measured <= budget, `${measured.toFixed(1)} ${unit}, budget ${budget.toFixed(1)}`);
}
