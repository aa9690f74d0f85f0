/** Turns the load of a workload into figures. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Endpoint } from "../tests/support/endpoints.ts";
import { anonymousMemory } from "../tests/support/processes.ts";
import { cpuTime } from "./cpu.ts";
import { type H2loadOptions, h2loadWithLog } from "./load/h2load.ts";
import { IdleClients } from "./load/tls_client.ts";
import type { Proxy } from "./proxy.ts";
import { percentile, withOmitted } from "./statistics.ts";

/** One measured value, with details if it is CPU time. */
export interface Figure {
  readonly value: number;
  /** Operations per second. */
  readonly rate?: number;
  /** The share of its core that the proxy used: below 1 the load generator was slower. */
  readonly busy?: number;
}

/** CPU time in microseconds per operation; `work` returns the number of operations. */
export async function perOperation(proxy: Proxy, work: () => Promise<number>): Promise<Figure> {
  const processes = proxy.processes();
  const before = cpuTime(processes);
  const start = performance.now();
  const operations = await work();
  const milliseconds = performance.now() - start;
  const atEnd = cpuTime(processes) - before;
  // Closing what is still open belongs to the work.
  await proxy.settle();
  return {
    value: (cpuTime(processes) - before) / operations,
    rate: operations / milliseconds * 1000,
    busy: atEnd / 1000 / milliseconds,
  };
}

/**
 * CPU time in microseconds per request on open connections: only the middle of h2load's run counts,
 * without its initial handshakes.
 */
export async function perRequest(
  proxy: Proxy,
  at: Endpoint,
  options: H2loadOptions,
  window: { from: number; to: number },
): Promise<Figure> {
  const processes = proxy.processes();
  const instant = () => ({ time: Date.now(), cpu: cpuTime(processes) });
  const load = h2loadWithLog(at, options);
  const moments = (async () => {
    await pause(window.from);
    const first = instant();
    await pause(window.to - window.from);
    return [first, instant()] as const;
  })();
  const [requests, [first, last]] = await Promise.all([load, moments]);
  const count = requests.filter(({ ended }) => ended > first.time && ended <= last.time).length;
  if (count === 0) throw new Error("no request was answered within the measured time");
  const milliseconds = last.time - first.time;
  return {
    value: (last.cpu - first.cpu) / count,
    rate: count / milliseconds * 1000,
    busy: (last.cpu - first.cpu) / 1000 / milliseconds,
  };
}

/** Latencies in microseconds at a fixed rate of requests per second. */
export async function latencies(
  at: Endpoint,
  options: H2loadOptions,
  rate: number,
  milliseconds: number,
): Promise<{ p50: number; p99: number; p999: number }> {
  /** Milliseconds at the beginning that handshakes distort. */
  const UNSETTLED = 300;
  const count = Math.round(rate * (UNSETTLED + milliseconds) / 1000);
  const each = rate / options.connections;
  const args = [...options.args, "-n", String(count), `--rps=${each.toFixed(2)}`];
  const requests = await h2loadWithLog(at, { ...options, args });
  const start = Math.min(...requests.slice(0, 1000).map(({ ended }) => ended)) + UNSETTLED;
  const counted = requests.filter(({ ended }) => ended > start).map(({ latency }) => latency);
  const all = withOmitted(counted, 1e6 / each);
  return { p50: percentile(all, 50), p99: percentile(all, 99), p999: percentile(all, 99.9) };
}

/**
 * Memory that an idle connection adds to the proxy after one request, in KB (1000 bytes). The first
 * connections do not count: they cause one-time allocations.
 */
export async function memoryEach(proxy: Proxy, at: Endpoint, connections: number): Promise<number> {
  const FIRST = 250;
  assertDescriptors(2 * (connections + FIRST) + 100);
  const clients = new IdleClients(at);
  try {
    await clients.open(FIRST);
    const before = await steadyMemory(proxy);
    await clients.open(connections);
    const after = await steadyMemory(proxy);
    return (after - before) / connections / 1000;
  } finally {
    await clients.close();
  }
}

/**
 * Bytes of anonymous memory of all or some of its processes, once these change by no more than 1 % in
 * a second.
 */
export async function steadyMemory(
  proxy: Proxy,
  processes: readonly number[] = proxy.processes(),
): Promise<number> {
  const memory = () => processes.reduce((sum, pid) => sum + anonymousMemory(pid), 0);
  let before = memory();
  for (let i = 0; i < 8; i++) {
    await pause(1000);
    const now = memory();
    if (Math.abs(now - before) < before / 100) return now;
    before = now;
  }
  return before;
}

/** The proxies inherit our limit, and each connection takes two descriptors of it. */
function assertDescriptors(count: number): void {
  const limit = Number(
    /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))![1],
  );
  if (limit < count) throw new Error(`needs ${count} descriptors; raise ulimit -n (now ${limit})`);
}
