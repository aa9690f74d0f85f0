/**
 * Measures the default build with thousands of connections, and how its cost grows with workers,
 * certificates and connections. `npm run bench:scale` prints the figures and writes them into
 * docs/scaling.md, between the marks, with a plot.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { generate } from "selfsigned";
import {
  type Certificates,
  makeCertificates,
  removeCertificates,
} from "../tests/support/certificates.ts";
import { root } from "../tests/support/target.ts";
import { replaceMarked } from "../scripts/marked.ts";
import { type Backend, startNginx } from "./backend.ts";
import { cpuTime } from "./cpu.ts";
import { h2load } from "./load/h2load.ts";
import { Holders } from "./load/holders.ts";
import { type Cores, describeMachine, missingTools, takeCores } from "./machine.ts";
import { steadyMemory } from "./measure.ts";
import { axisTo, lineChart } from "./plot.ts";
import { type Program, programs } from "./programs.ts";
import { freshEndpoint, Proxy } from "./proxy.ts";
import { median } from "./statistics.ts";
import { workloads } from "./workloads.ts";

const ROUNDS = 3;
/** Connections of one worker: the most idle and busy ones that fit under 20,000 descriptors. */
const ONE_WORKER = { idle: 8500, busy: 1000 };
const MANY = 30_000;
/** Source addresses; a backend address has 28,232 ports for each of them. */
const SOURCES = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"];
const IDLE_SECONDS = 5;

/** Microseconds of CPU time. */
interface Costs {
  readonly handshake: number;
  readonly request: number;
}

/** The costs at one size. */
interface Point extends Costs {
  readonly place: string;
}

interface Growth {
  readonly title: string;
  /** A short label after the number in the plot. */
  readonly label: string;
  readonly points: readonly Point[];
}

class Bench {
  readonly #cores: Cores;
  readonly #certificates: Certificates;
  readonly #backend: Backend;

  constructor(cores: Cores, certificates: Certificates, backend: Backend) {
    this.#cores = cores;
    this.#certificates = certificates;
    this.#backend = backend;
  }

  /** Starts the default build with additional arguments, and stops it after `use`. */
  async with<T>(words: readonly string[], use: (proxy: Proxy) => Promise<T>): Promise<T> {
    const stud = programs.find(({ name }) => name === "bun")!;
    // The load comes from few addresses and must reach all workers.
    const all = ["--affinity=off", ...words];
    const program: Program = { ...stud, command: (task) => [...stud.command(task), ...all] };
    const { directory, localhost } = this.#certificates;
    const task = { directory, backend: this.#backend.plain, certificate: localhost, prefix: false };
    const proxy = await Proxy.start(program, task, this.#cores.proxy);
    try {
      return await use(proxy);
    } finally {
      await proxy.stop();
    }
  }

  /** Medians of several rounds, after a warm-up round. */
  async costs(proxy: Proxy): Promise<Costs> {
    const handshake: number[] = [];
    const request: number[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const figures = [await this.#cost(proxy, "ecdsa-1.3"), await this.#cost(proxy, "requests")];
      if (round === 0) continue;
      handshake.push(figures[0]!);
      request.push(figures[1]!);
    }
    return { handshake: median(handshake), request: median(request) };
  }

  /** Each connection makes two requests per second for 5 s, and all are answered. */
  async busy(proxy: Proxy, connections: number): Promise<void> {
    await h2load(freshEndpoint(proxy.task.port), {
      ...{ directory: this.#certificates.directory, version: "TLSv1.3", path: "/small" },
      connections,
      args: ["-D", "5s", "--rps=2"],
    });
  }

  /** Writes PEM files, each for a different name; returns their paths. */
  async certificates(count: number): Promise<string[]> {
    const directory = join(this.#certificates.directory, "many");
    mkdirSync(directory);
    return await Promise.all(Array.from({ length: count }, async (_, i) => {
      const name = `site${i}.example`;
      const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
        ...{ keyType: "ec", curve: "P-256", algorithm: "sha256" },
        extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: name }] }],
      });
      const file = join(directory, `${name}.pem`);
      writeFileSync(file, `${cert}\n${key}`);
      return file;
    }));
  }

  async #cost(proxy: Proxy, workload: string): Promise<number> {
    const { measure } = workloads.find(({ name }) => name === workload)!;
    const at = freshEndpoint(proxy.task.port);
    const { directory } = this.#certificates;
    const [figure] = await measure({ proxy, at, directory, rate: 0, scale: 1 });
    return figure!.value;
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench:scale: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const tools = missingTools();
  if (tools.length > 0) throw new Error(`${tools.join(", ")} missing; run scripts/install-peers`);
  const version = programs.find(({ name }) => name === "bun")!.version();
  if (version === undefined) throw new Error("dist/stud is missing; run npm run build");
  const cores = takeCores();
  const certificates = makeCertificates();
  const backend = await startNginx(certificates.directory, { workers: 4 });
  try {
    const bench = new Bench(cores, certificates, backend);
    const lines = [
      ...await oneWorker(bench),
      ...await manyConnections(bench),
    ];
    const growths = await growth(bench);
    lines.push(...growths.flatMap(growthTable));
    const machine = [...describeMachine(cores), version];
    report([...machine.map((line) => `- ${line}`), "", ...lines], growths);
  } finally {
    await backend.stop();
    removeCertificates(certificates);
  }
}

/** The connections that one process can hold under `ulimit -n 20000`. */
function oneWorker(bench: Bench): Promise<string[]> {
  const { idle, busy } = ONE_WORKER;
  return withIdle(bench, {
    title: `One worker with ${count(idle)} idle connections and ${count(busy)} busy ones, ` +
      `under \`ulimit -n 20000\``,
    words: [],
    idle,
    during: (proxy) => bench.busy(proxy, busy),
  });
}

/** More connections than one process or one backend address can have. */
function manyConnections(bench: Bench): Promise<string[]> {
  const workers = Math.ceil(MANY / 9000);
  return withIdle(bench, {
    title: `${workers} workers with ${count(MANY)} idle connections, \`--backend-source\` with ` +
      `${SOURCES.length} addresses`,
    words: ["-n", String(workers), `--backend-source=${SOURCES.join(",")}`],
    idle: MANY,
  });
}

interface IdleLoad {
  readonly title: string;
  readonly words: readonly string[];
  readonly idle: number;
  /** More load while the idle connections are open. */
  readonly during?: (proxy: Proxy) => Promise<void>;
}

/** Measures with idle connections; throws unless every connection is alive at the end. */
async function withIdle(bench: Bench, { title, words, idle, during }: IdleLoad): Promise<string[]> {
  return await bench.with(words, async (proxy) => {
    progress(`${title}: handshakes before`);
    const before = await bench.costs(proxy);
    progress(`${title}: opening them`);
    const { holders, figures } = await hold(proxy, idle);
    await during?.(proxy);
    const after = await bench.costs(proxy);
    progress(`${title}: checking that all are alive`);
    await holders.ask();
    await holders.close();
    return [
      `${title}; every connection was still alive at the end:`,
      "",
      ...figures,
      `- a new handshake: ${micro(before.handshake)} without, ` +
      `${micro(after.handshake)} with ${count(idle)} idle connections`,
      "",
    ];
  });
}

async function growth(bench: Bench): Promise<Growth[]> {
  const workers: Point[] = [];
  for (const n of [1, 2, 4]) {
    progress(`${n} workers`);
    const costs = await bench.with(["-n", String(n)], (proxy) => bench.costs(proxy));
    workers.push({ place: String(n), ...costs });
  }
  const certificates: Point[] = [];
  const files = await bench.certificates(99);
  for (const others of [[], files]) {
    const place = String(others.length + 1);
    progress(`${place} certificates`);
    const costs = await bench.with(others, (proxy) => bench.costs(proxy));
    certificates.push({ place, ...costs });
  }
  const connections: Point[] = [];
  for (const n of [10, 1000, 9000]) {
    progress(`${n} idle connections`);
    const costs = await bench.with([], async (proxy) => {
      const { holders } = await hold(proxy, n);
      const held = await bench.costs(proxy);
      await holders.close();
      return held;
    });
    connections.push({ place: count(n), ...costs });
  }
  return [
    { title: "Workers", label: "workers", points: workers },
    { title: "Certificates", label: "PEM files", points: certificates },
    { title: "Idle connections", label: "idle", points: connections },
  ];
}

/** Opens idle connections; returns their costs as lines of text. */
async function hold(proxy: Proxy, connections: number) {
  const holders = new Holders();
  const empty = await steadyMemory(proxy);
  const kernelEmpty = kernelMemory();
  await holders.open(proxy.task.port, connections);
  const bytes = (await steadyMemory(proxy) - empty) / connections;
  // The clients' and the backend's sockets are on this machine too.
  const kernel = (kernelMemory() - kernelEmpty) / connections / 2;
  const start = cpuTime(proxy.processes());
  await pause(IDLE_SECONDS * 1000);
  const share = (cpuTime(proxy.processes()) - start) / (IDLE_SECONDS * 1e6);
  return { holders, figures: held(bytes, kernel, share) };
}

/** Kernel memory in use, in bytes: sockets, files and related objects. */
function kernelMemory(): number {
  const meminfo = readFileSync("/proc/meminfo", "utf8");
  return Number(/^Slab:\s+(\d+) kB$/m.exec(meminfo)?.[1]) * 1024;
}

function held(bytes: number, kernel: number, share: number): string[] {
  return [
    `- memory per idle connection: ${(bytes / 1000).toFixed(1)} KB in the workers, ` +
    `about ${(kernel / 1000).toFixed(1)} KB in the kernel for its two sockets`,
    `- CPU while all are idle: ${(share * 100).toFixed(2)} % of one core`,
  ];
}

function growthTable({ title, points }: Growth): string[] {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    row([title, ...points.map(({ place }) => place)]),
    row(["---", ...points.map(() => "---:")]),
    row(["full handshake", ...points.map(({ handshake }) => micro(handshake))]),
    row(["small request", ...points.map(({ request }) => micro(request))]),
    "",
  ];
}

function report(lines: readonly string[], growths: readonly Growth[]): void {
  console.log(lines.join("\n"));
  const all = growths.flatMap(({ label, points }) =>
    points.map((point) => ({ ...point, place: `${point.place} ${label}` }))
  );
  const first = all[0]!;
  const series = [
    { title: "full handshake", values: all.map((point) => point.handshake / first.handshake) },
    { title: "small request", values: all.map((point) => point.request / first.request) },
  ];
  const chart = lineChart({
    title: "CPU time per operation, as a ratio to one otherwise idle worker",
    y: axisTo(Math.max(2, ...series.flatMap(({ values }) => values)), "ratio"),
    places: all.map(({ place }) => place),
    series,
  });
  writeFileSync(join(root, "docs", "scaling.svg"), chart);
  const measured = ["", ...lines, "![How cost grows](scaling.svg)", ""].join("\n");
  replaceMarked("docs/scaling.md", "measured", measured);
}

function micro(microseconds: number): string {
  return `${microseconds < 100 ? microseconds.toFixed(1) : microseconds.toFixed(0)} µs`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
