/**
 * Measures the time of a start and the memory of idle processes: `npm run bench:start` prints a table
 * of the three builds, or of given commands, each as one argument
 * (`npm run bench:start -- old/stud dist/stud`). All take turns.
 */
import { connect as connectTcp } from "node:net";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { makeCertificates, removeCertificates } from "../tests/support/certificates.ts";
import { type Endpoint, freeEndpoint } from "../tests/support/endpoints.ts";
import { target } from "../tests/support/target.ts";
import { startServer, stopServer } from "./children.ts";
import { processTree } from "./cpu.ts";
import { median } from "./statistics.ts";

const ROUNDS = 11;
const START_LIMIT_MS = 30_000;
/** Time until the garbage of a start is collected. */
const REST_MS = 1500;

/** Milliseconds, and MB of anonymous memory: its processes share the pages of the executable. */
interface Figures {
  /** From exec to the first connection that the kernel accepts. */
  readonly listening: number;
  /** From exec to the end of the first handshake. */
  readonly serving: number;
  readonly master: number;
  readonly worker: number;
}

const certificates = makeCertificates();
try {
  await main();
} finally {
  removeCertificates(certificates);
}

async function main(): Promise<void> {
  const given = process.argv.slice(2).map((command) => command.split(" "));
  const builds = ["dist-stud", "dist-stud-deno", "dist-stud-node"] as const;
  const commands = given.length > 0 ? given : builds.map((build) => target(build).command);
  const all = commands.map((): Figures[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, command] of commands.entries()) all[i]!.push(await measure(command));
  }
  console.log("| | exec to listening | exec to serving | master | worker |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const [i, command] of commands.entries()) {
    const of = (key: keyof Figures) => median(all[i]!.map((figures) => figures[key]));
    const times = (["listening", "serving"] as const).map((key) => `${of(key).toFixed(0)} ms`);
    const sizes = (["master", "worker"] as const).map((key) => `${of(key).toFixed(1)} MB`);
    console.log(`| ${[command.join(" "), ...times, ...sizes].join(" | ")} |`);
  }
}

async function measure(command: readonly string[]): Promise<Figures> {
  const frontend = await freeEndpoint();
  const { host, port } = frontend;
  const backend = await freeEndpoint();
  const words = ["-q", "-n1", `-f${host},${port}`, `-b${backend.host},${backend.port}`];
  const begin = performance.now();
  const server = startServer([...command, ...words, certificates.localhost], "ignore");
  try {
    await accepts(frontend);
    const listening = performance.now() - begin;
    await handshake(frontend);
    const serving = performance.now() - begin;
    await pause(REST_MS);
    const [master, worker] = processTree(server.pid!);
    return { listening, serving, master: anonymous(master!), worker: anonymous(worker!) };
  } finally {
    await stopServer(server);
  }
}

async function accepts(frontend: Endpoint): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (!await isAccepted(frontend)) {
    if (performance.now() > deadline) throw new Error("it did not start in time");
    await pause(1);
  }
}

function isAccepted({ host, port }: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, host);
    socket.on("error", () => resolve(false));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

function handshake({ host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    const client = connectTls({ port, host, rejectUnauthorized: false });
    client.on("error", reject);
    client.on("secureConnect", () => {
      client.destroy();
      resolve();
    });
  });
}

/** Returns a process's anonymous memory in MB. */
function anonymous(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Anonymous: +(\d+)/m.exec(rollup)![1]) / 1024;
}
