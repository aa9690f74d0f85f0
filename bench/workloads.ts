/** The workloads, and the rows of the report that each one fills. */
import type { Endpoint } from "../tests/support/endpoints.ts";
import { workersOf } from "../tests/support/processes.ts";
import { LARGE } from "./backend.ts";
import type { Version } from "./load/command.ts";
import { h2load, type H2loadOptions } from "./load/h2load.ts";
import { type Seen, watchHandshakes } from "./load/relay.ts";
import { fullHandshakes, type Group } from "./load/tls_client.ts";
import {
  type Figure,
  latencies,
  memoryEach,
  perOperation,
  perRequest,
  steadyMemory,
} from "./measure.ts";
import type { Program } from "./programs.ts";
import type { Proxy } from "./proxy.ts";
import type { Row } from "./rows.ts";

/** The input of a measurement. */
export interface Context {
  readonly proxy: Proxy;
  /** Where to connect: an address that no earlier load used, so no connection is in TIME_WAIT. */
  readonly at: Endpoint;
  /** Directory for files of the load generators. */
  readonly directory: string;
  /** Requests per second of the latency workload. */
  readonly rate: number;
  /** Scales the load: 1, or less for a quick run. */
  readonly scale: number;
}

export interface Workload {
  readonly name: string;
  readonly certificate: "ecdsa" | "rsa";
  readonly backend: "nginx" | "sink";
  readonly rows: readonly Row[];
  /** Omitted from a quick run. */
  readonly slow?: boolean;
  /** Starts a new proxy for each measurement, in at most this many rounds. */
  readonly fresh?: { readonly rounds: number };
  /** Measured only without a prefix: one would add no information. */
  readonly plainOnly?: boolean;
  /** Programs that this returns false for are omitted without a message. */
  readonly fits?: (program: Program) => boolean;
  /** Called once per program; a result is the reason why it has no figure here. */
  readonly obstacle?: (context: Context) => Promise<string | undefined>;
  /** Returns one figure for each of `rows`, in their order. */
  readonly measure: (context: Context) => Promise<readonly Figure[]>;
}

export const workloads: readonly Workload[] = [
  handshakes("ecdsa-1.3", "ecdsa", "TLSv1.3", "full"),
  handshakes("rsa-1.3", "rsa", "TLSv1.3", "full"),
  handshakes("ecdsa-1.2", "ecdsa", "TLSv1.2", "full"),
  handshakes("rsa-1.2", "rsa", "TLSv1.2", "full"),
  handshakes("resumed-1.3", "ecdsa", "TLSv1.3", "resumed"),
  handshakes("resumed-1.2", "ecdsa", "TLSv1.2", "resumed"),
  {
    name: "requests",
    ...{ certificate: "ecdsa", backend: "nginx" },
    rows: [cpuRow("requests", "small request on 100 kept-alive connections", "request")],
    async measure({ proxy, at, directory, scale }) {
      const to = 400 + 1000 * scale;
      const options = onKeptAlive(directory, ["-D", `${to + 100}ms`]);
      return [await perRequest(proxy, at, options, { from: 400, to })];
    },
  },
  transfer("download", "64 MiB downloads on 8 connections", "nginx"),
  transfer("upload", "64 MiB uploads on 8 connections", "sink"),
  groupOf("ecdsa-x25519", "ecdsa", "X25519"),
  groupOf("ecdsa-mlkem", "ecdsa", "X25519MLKEM768"),
  groupOf("rsa-x25519", "rsa", "X25519"),
  groupOf("rsa-mlkem", "rsa", "X25519MLKEM768"),
  {
    name: "latency",
    ...{ certificate: "ecdsa", backend: "nginx" },
    rows: [
      row("latency-p50", "latency, median", "µs", 0),
      row("latency-p99", "latency, 99 %", "µs", 0),
      row("latency-p99.9", "latency, 99.9 %", "µs", 0),
    ],
    async measure({ at, directory, rate, scale }) {
      // Opened one after another; otherwise all would send at the same moments.
      const options = onKeptAlive(directory, ["-r", "10", "--rate-period=10ms"]);
      const { p50, p99, p999 } = await latencies(at, options, rate, 1000 * scale);
      return [{ value: p50 }, { value: p99 }, { value: p999 }];
    },
  },
  {
    name: "memory",
    ...{ certificate: "ecdsa", backend: "nginx", slow: true, fresh: { rounds: 1 } },
    rows: [row("memory", "memory for each of 5,000 idle connections", "KB", 1)],
    async measure({ proxy, at }) {
      await proxy.listening();
      await proxy.answers();
      return [{ value: await memoryEach(proxy, at, 5000) }];
    },
  },
  {
    name: "worker-memory",
    ...{ certificate: "ecdsa", backend: "nginx", plainOnly: true, fresh: { rounds: Infinity } },
    rows: [row("worker-memory", "memory of a worker after 20,000 requests", "MB", 1)],
    fits: (program) => program.ours,
    async measure({ proxy, at, directory }) {
      await proxy.listening();
      await proxy.answers();
      await h2load(at, onKeptAlive(directory, ["-n", "20000"]));
      const value = await steadyMemory(proxy, workersOf(proxy.pid)) / 1e6;
      proxy.checkScrapes();
      return [{ value }];
    },
  },
  {
    name: "start",
    ...{ certificate: "ecdsa", backend: "nginx", fresh: { rounds: Infinity } },
    rows: [
      row("start-listening", "from exec until it listens", "ms", 1),
      row("start-answer", "from exec until a first request is answered", "ms", 1),
    ],
    async measure({ proxy }) {
      const listening = await proxy.listening() - proxy.started;
      return [{ value: listening }, { value: await proxy.answers() - proxy.started }];
    },
  },
];

/** Connections per measurement. */
const HANDSHAKES = 700;
/** Concurrent handshakes, where the load generator can limit them. */
const CONCURRENCY = 32;

/** Connections that each make one request and close. */
function handshakes(
  name: string,
  certificate: "ecdsa" | "rsa",
  version: Version,
  kind: keyof Seen,
): Workload {
  const key = certificate === "ecdsa" ? "ECDSA P-256" : "RSA-2048";
  const title = `${kind} handshake, ${version.replace("v", " ")}, ${key}, X25519, one request`;
  const load = async (at: Endpoint, directory: string, count: number) => {
    // A client of h2load offers its last session again. So for full handshakes each client has one
    // connection, and more are opened per second than any proxy can accept on this machine.
    const clients = kind === "resumed" ? CONCURRENCY : count;
    const pace = kind === "resumed" ? [] : ["-r", "40", "--rate-period=20ms"];
    const { answers } = await h2load(at, {
      ...{ directory, version, connections: clients, path: "/small" },
      args: ["-n", String(count), "-H", "Connection: close", ...pace],
    });
    return expected(answers, count, "answers");
  };
  return {
    name,
    ...{ certificate, backend: "nginx" },
    rows: [cpuRow(name, title, "connection")],
    async obstacle({ at, directory }) {
      const COUNT = 3 * CONCURRENCY;
      const seen = await watchHandshakes(at, (relay) => load(relay, directory, COUNT));
      const wanted = kind === "resumed" ? COUNT - CONCURRENCY : COUNT;
      if (seen[kind] === wanted) return undefined;
      return `${seen[kind]} of ${wanted} connections have a ${kind} handshake`;
    },
    async measure({ proxy, at, directory, scale }) {
      const count = Math.round(HANDSHAKES * scale);
      return [await perOperation(proxy, () => load(at, directory, count))];
    },
  };
}

function transfer(name: "download" | "upload", title: string, backend: "nginx" | "sink"): Workload {
  const CONNECTIONS = 8;
  return {
    name,
    ...{ certificate: "ecdsa", backend },
    rows: [cpuRow(name, title, "MiB")],
    async measure({ proxy, at, directory }) {
      const body = name === "upload" ? ["-d", `${directory}/large`] : [];
      const size = name === "upload" ? 3 : LARGE;
      return [
        await perOperation(proxy, async () => {
          const { bytes } = await h2load(at, {
            ...{ directory, version: "TLSv1.3", connections: CONNECTIONS, path: "/large" },
            args: ["-n", String(CONNECTIONS), ...body],
          });
          expected(bytes, CONNECTIONS * size, "bytes");
          return CONNECTIONS * LARGE / 2 ** 20;
        }),
      ];
    },
  };
}

/** Uses one client for both groups, so that they compare: h2load does not support the second. */
function groupOf(name: string, certificate: "ecdsa" | "rsa", group: Group): Workload {
  const key = certificate === "ecdsa" ? "ECDSA P-256" : "RSA-2048";
  const title = `full handshake, TLS 1.3, ${key}, ${group}, by Node's client`;
  return {
    name,
    ...{ certificate, backend: "nginx", slow: true, plainOnly: true },
    rows: [cpuRow(name, title, "connection")],
    fits: (program) => program.postQuantum,
    async measure({ proxy, at, scale }) {
      const count = Math.round(HANDSHAKES * scale);
      const load = { group, count, concurrency: CONCURRENCY };
      return [await perOperation(proxy, () => fullHandshakes(at, load).then(() => count))];
    },
  };
}

function onKeptAlive(directory: string, args: readonly string[]): H2loadOptions {
  return { directory, version: "TLSv1.3", connections: 100, path: "/small", args };
}

function cpuRow(name: string, title: string, operation: string): Row {
  return { name, title, unit: "µs", digits: 1, operation };
}

function row(name: string, title: string, unit: string, digits: number): Row {
  return { name, title, unit, digits };
}

function expected(seen: number, wanted: number, what: string): number {
  if (seen !== wanted) throw new Error(`${seen} ${what}, not ${wanted}`);
  return seen;
}
