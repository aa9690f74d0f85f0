/**
 * Measures how many returning clients resume their session, with one worker and with several, and
 * what that saves. `npm run bench:sessions` prints the figures and writes them into
 * docs/performance.md, between the marks.
 */
import process from "node:process";
import { replaceMarked } from "../scripts/marked.ts";
import {
  type Certificates,
  makeCertificates,
  removeCertificates,
} from "../tests/support/certificates.ts";
import { type Backend, startNginx } from "./backend.ts";
import { Population } from "./load/population.ts";
import { type Cores, describeMachine, missingTools, takeCores } from "./machine.ts";
import { perOperation } from "./measure.ts";
import { type Program, programs } from "./programs.ts";
import { freshEndpoint, Proxy } from "./proxy.ts";
import { median } from "./statistics.ts";

const CLIENTS = 100;
/** Connections that each client makes in a measurement. */
const RETURNS = 2;
const ROUNDS = 11;
const WORKERS = [1, 2, 4];
const KEYS = [{ key: "localhost", title: "ECDSA P-256" }, {
  key: "rsa",
  title: "RSA-2048",
}] as const;

/** The results of one program with a number of workers and a key. */
interface Result {
  readonly program: Program;
  readonly workers: number;
  readonly key: string;
  /** The share of handshakes that resume, 0 to 1. */
  readonly share: number;
  /** Microseconds of CPU time per connection, of clients with a session and without one. */
  readonly returning: number;
  readonly full: number;
  /** The share of `full` that resumption saves, as the median over the rounds. */
  readonly saved: number;
}

try {
  await main();
} catch (error) {
  console.error(`bench:sessions: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const tools = missingTools();
  if (tools.length > 0) throw new Error(`${tools.join(", ")} missing; run scripts/install-peers`);
  const ours = programs.filter((program) => program.ours || program.name === "hitch");
  const missing = ours.find((program) => program.version() === undefined);
  if (missing) {
    throw new Error(`${missing.title} is missing; run npm run build or scripts/install-peers`);
  }
  const cores = takeCores();
  const certificates = makeCertificates();
  const backend = await startNginx(certificates.directory, { workers: 1 });
  try {
    const results: Result[] = [];
    for (const { key, title } of KEYS) {
      for (const workers of WORKERS) {
        results.push(
          ...await measure(ours, { workers, key: title }, {
            ...{ cores, certificates, backend },
            certificate: certificates[key],
          }),
        );
      }
    }
    const date = new Date().toISOString().slice(0, 10);
    const text = report(results, [...describeMachine(cores), `measured on ${date}`]);
    console.log(text);
    replaceMarked("docs/performance.md", "sessions", `\n${text}\n`);
  } finally {
    await backend.stop();
    removeCertificates(certificates);
  }
}

interface MeasureContext {
  readonly cores: Cores;
  readonly certificates: Certificates;
  readonly backend: Backend;
  readonly certificate: string;
}

/** Measures the programs in turn, round by round, so that a disturbance affects all of them. */
async function measure(
  all: readonly Program[],
  { workers, key }: Pick<Result, "workers" | "key">,
  { cores, certificates, backend, certificate }: MeasureContext,
): Promise<Result[]> {
  const { directory } = certificates;
  const task = { directory, backend: backend.plain, certificate, prefix: false, workers };
  const running: { proxy: Proxy; shares: number[]; returning: number[]; full: number[] }[] = [];
  try {
    for (const program of all) {
      const proxy = await Proxy.start(program, task, cores.proxy);
      running.push({ proxy, shares: [], returning: [], full: [] });
    }
    for (let round = 0; round <= ROUNDS; round++) {
      process.stderr.write(`${key}, workers: ${workers}, round ${round} of ${ROUNDS}\n`);
      for (const { proxy, shares, returning, full } of running) {
        const population = await Population.create(freshEndpoint(proxy.task.port), CLIENTS);
        let resumed = 0;
        const visits = (offering: boolean) =>
          perOperation(proxy, async () => {
            const seen = await population.reconnect(RETURNS, offering);
            resumed += seen.resumed;
            return seen.all;
          });
        const back = await visits(true);
        const share = resumed / (CLIENTS * RETURNS);
        const without = await visits(false);
        // The first round warms up caches and compilers.
        if (round === 0) continue;
        shares.push(share);
        returning.push(back.value);
        full.push(without.value);
      }
    }
  } finally {
    for (const { proxy } of running) await proxy.stop();
  }
  return running.map(({ proxy, shares, returning, full }) => ({
    ...{ program: proxy.program, workers, key },
    ...{ share: median(shares), returning: median(returning), full: median(full) },
    saved: median(returning.map((cost, round) => 1 - cost / full[round]!)),
  }));
}

function report(results: readonly Result[], machine: readonly string[]): string {
  const titles = [...new Set(results.map(({ program }) => program.title))];
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = KEYS.flatMap(({ title: key }) =>
    WORKERS.map((workers) => {
      const of = results.filter((each) => each.key === key && each.workers === workers);
      return row([`${key}, ${workers}`, ...of.map(cell)]);
    })
  );
  return [
    ...machine.map((line) => `- ${line}`),
    "",
    row(["key, workers", ...titles]),
    row(["---", ...titles.map(() => "---:")]),
    ...lines,
  ].join("\n");
}

/** `98 %<br>310 of 450 µs, 31 % saved`. */
function cell({ share, returning, full, saved }: Result): string {
  return `${(share * 100).toFixed(0)} %<br>${returning.toFixed(0)} of ${full.toFixed(0)} µs, ` +
    `${(100 * saved).toFixed(0)} % saved`;
}
