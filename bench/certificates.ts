/**
 * Measures what thousands of certificates cost: `npm run bench:certificates` makes 6,000 of them,
 * gives one configuration file to every build and to hitch, and writes time and memory into
 * docs/scaling.md. Needs root: only root can read how much memory processes share.
 */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "node:tls";
import { generate } from "selfsigned";
import { replaceMarked } from "../scripts/marked.ts";
import { freeEndpoint } from "../tests/support/endpoints.ts";
import { target } from "../tests/support/target.ts";
import { within } from "../tests/support/until.ts";
import { startServer, stopServer } from "./children.ts";
import { cpuTime, processTree } from "./cpu.ts";
import { firstLine } from "./programs.ts";
import { median } from "./statistics.ts";

const COUNT = 6000;
const WORKERS = 2;
/** Number of clients, each of which requests one name. */
const ASKED = 500;
const ROUNDS = 3;
const START_LIMIT_MS = 60_000;

interface Figures {
  /** From exec to the first accepted connection. */
  readonly seconds: number;
  /** CPU time until then. */
  readonly cpuSeconds: number;
  /** Total of all its processes; shared memory counts once. */
  readonly megabytes: number;
  /** The same after clients have requested some of the names. */
  readonly megabytesUsed: number;
}

const candidates: Record<string, readonly string[]> = {
  "stud (Bun)": [...target("dist-stud").command, "--compat=hitch"],
  "stud (Deno)": [...target("dist-stud-deno").command, "--compat=hitch"],
  "stud (Node)": [...target("dist-stud-node").command, "--compat=hitch"],
  hitch: ["hitch"],
};

await main();

async function main(): Promise<void> {
  if (process.getuid!() !== 0) throw new Error("bench:certificates needs root; run it as root");
  const directory = mkdtempSync(join(tmpdir(), "stud-certificates-"));
  try {
    console.log(`making ${COUNT} certificates ...`);
    await makeCertificates(directory);
    const all = new Map<string, Figures[]>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const [title, command] of Object.entries(candidates)) {
        if (!firstLine(command[0]!, [...command.slice(1), "--version"])) continue;
        const figures = await measure(directory, command);
        all.set(title, [...all.get(title) ?? [], figures]);
        console.log(`${title.padEnd(12)} ${JSON.stringify(figures)}`);
      }
    }
    replaceMarked("docs/scaling.md", "certificates", report(all));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes {@link COUNT} PEM files with ECDSA P-256 keys, each for one name. */
async function makeCertificates(directory: string): Promise<void> {
  for (let i = 0; i < COUNT; i++) {
    const name = `site${i}.example`;
    const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
      ...{ keyType: "ec", curve: "P-256", algorithm: "sha256" },
      extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: name }] }],
    });
    writeFileSync(join(directory, `${name}.pem`), `${cert}\n${key}\n`);
  }
}

async function measure(directory: string, command: readonly string[]): Promise<Figures> {
  const { port } = await freeEndpoint("127.0.0.1");
  const config = join(directory, "hitch.conf");
  writeFileSync(
    config,
    `frontend = "[127.0.0.1]:${port}"
     backend = "[127.0.0.1]:1"
     pem-dir = "${directory}"
     pem-dir-glob = "*.pem"
     workers = ${WORKERS}
     log-level = 0
     user = "nobody"
     group = "nogroup"
     ocsp-dir = ""\n`,
  );
  const started = performance.now();
  const child = startServer([...command, `--config=${config}`], ["ignore", "ignore", "ignore"]);
  try {
    await accepts(port);
    const seconds = (performance.now() - started) / 1000;
    const tree = () => processTree(child.pid!);
    const cpuSeconds = cpuTime(tree()) / 1e6;
    await pause(1000);
    const megabytes = memory(tree());
    for (let i = 0; i < ASKED; i++) await ask(port, `site${i}.example`);
    await pause(1000);
    return { seconds, cpuSeconds, megabytes, megabytesUsed: memory(tree()) };
  } finally {
    await stopServer(child);
  }
}

async function accepts(port: number): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline) {
    const socket = connectTcp(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await pause(5);
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** Makes one handshake and checks its certificate; there is no backend. */
async function ask(port: number, servername: string): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false });
  await within(once(socket, "secureConnect"), "a handshake");
  const { CN } = socket.getPeerCertificate().subject;
  socket.on("error", () => {}).destroy();
  if (CN !== servername) throw new Error(`${servername} was served as ${CN}`);
}

/** Returns MB: proportional set sizes, plus files in memory, which no process maps. */
function memory(pids: readonly number[]): number {
  const files = new Map<number, number>();
  let bytes = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    bytes += Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1]) * 1024;
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const path = `/proc/${pid}/fd/${fd}`;
      if (!readlinkSync(path).startsWith("/memfd:")) continue;
      const { ino, size } = statSync(path);
      files.set(ino, size);
    }
  }
  for (const size of files.values()) bytes += size;
  return bytes / 1e6;
}

function report(all: ReadonlyMap<string, readonly Figures[]>): string {
  const rows = [...all].map(([title, figures]) => {
    const of = (key: keyof Figures, digits: number) =>
      median(figures.map((each) => each[key])).toFixed(digits);
    return `| ${title} | ${of("seconds", 1)} s | ${of("cpuSeconds", 1)} s | ` +
      `${of("megabytes", 0)} MB | ${of("megabytesUsed", 0)} MB |`;
  });
  return [
    "",
    `${COUNT} certificates (ECDSA P-256) in one directory, ${WORKERS} workers, medians of ` +
    `${ROUNDS} rounds. Memory is the total of all processes, with shared memory counted once; ` +
    `the last column is after ${ASKED} clients, each with its own name.`,
    "",
    "| | time until it accepts | CPU time until then | memory | memory in use |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
  ].join("\n");
}
