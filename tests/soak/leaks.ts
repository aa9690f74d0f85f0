/** Repeats what once made a runtime leak: none of it may stay in the worker. */
import { copyFileSync, mkdtempSync, readFileSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";
import { ending, exchange, openTcp, openTls, openWire, readAll } from "../support/client.ts";
import type { Context } from "../support/context.ts";
import { anonymousMemory, descriptorCount, isAlive } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import type { Target } from "../support/target.ts";
import { until, within } from "../support/until.ts";

export interface LeakResult {
  readonly name: string;
  /** "" if this build cannot do it. */
  readonly found: string;
  readonly isGood: boolean;
}

const INVENTED = "a name that no certificate has";

/** The default number of concurrent clients. */
const AT_ONCE = 10;

/**
 * How much a worker may grow by all repetitions, after a third as many to warm up, in bytes. Heaps
 * without memory pressure vary by up to 17 MB: after a forced collection, Node's worker had the same
 * 13.8 MB after 3,000 handshakes as after 18,000.
 */
const MAX_GROWTH = 24 * 1024 * 1024;
const HEADER = "PROXY TCP4 192.0.2.7 198.51.100.9 1234 443\r\n";

interface Repetition {
  readonly name: string;
  /** Where it was reported. */
  readonly thread: string;
  readonly appliesTo?: (target: Target) => boolean;
  readonly times: number;
  readonly atOnce?: number;
  /** Starts a stud; returns a function that performs one repetition. */
  prepare(context: Context): Promise<{ stud: Stud; once: () => Promise<void> }>;
}

const repetitions: readonly Repetition[] = [
  {
    name: "full handshakes, one request each",
    thread: "Bun #17777, #16503",
    times: 3000,
    async prepare(context) {
      const stud = await echoing(context, []);
      return { stud, once: () => hello(stud) };
    },
  },
  {
    name: "handshakes with client certificates",
    thread: "Bun #17777",
    appliesTo: ({ verifyClients }) => verifyClients,
    times: 3000,
    async prepare(context) {
      const { ca, a } = context.certificates;
      const stud = await echoing(context, [
        "--client-verify=required",
        `--client-verify-ca=${ca}`,
        "--write-proxy-v2",
      ]);
      const pem = readFileSync(a);
      return {
        stud,
        async once() {
          const answer = await exchange(stud.frontend, "hello", { cert: pem, key: pem });
          if (!answer.includes("hello")) throw new Error("no answer");
        },
      };
    },
  },
  {
    name: "PROXY header, then TLS on the same socket",
    thread: "Bun #12117, #40306",
    appliesTo: ({ headerFirst }) => headerFirst,
    times: 3000,
    async prepare(context) {
      const stud = await echoing(context, ["--accept-proxy", "--trusted-proxies=127.0.0.0/8"]);
      return {
        stud,
        async once() {
          const wire = await openWire(stud.frontend);
          try {
            wire.socket.write(HEADER);
            const answer = await exchange(wire.entry, "hello");
            if (String(answer) !== "hello") throw new Error(`answered ${answer}`);
          } finally {
            wire.close();
          }
        },
      };
    },
  },
  {
    name: "certificates replaced in the running worker",
    thread: "Bun PR #29875; Node #66002, #34451",
    appliesTo: ({ swapCertificates }) => swapCertificates,
    times: 45,
    atOnce: 1,
    async prepare(context) {
      const { a, a2 } = context.certificates;
      const pem = join(mkdtempSync(join(context.certificates.directory, "swap-")), "site.pem");
      copyFileSync(a, pem);
      const stud = await echoing(context, [pem]);
      let reloads = 0;
      const isReload = ({ event }: { event: string }) => event === "reloaded";
      return {
        stud,
        async once() {
          copyFileSync(++reloads % 2 === 1 ? a2 : a, pem);
          stud.signal("SIGHUP");
          await until(() => stud.logs.filter(isReload).length === reloads, "a reload");
          await hello(stud);
        },
      };
    },
  },
  {
    name: "a client that does not read disconnects while its backend is paused",
    thread: "Bun PR #42352",
    times: 500,
    async prepare(context) {
      const chunk = Buffer.alloc(8 * 1024 * 1024);
      const backend = await context.backend((socket) =>
        socket.once("data", () => socket.end(chunk))
      );
      const stud = await context.stud([], { backend: backend.port });
      let count = 0;
      return {
        stud,
        async once() {
          const wire = await openWire(stud.frontend);
          const client = await openTls(wire.entry);
          client.pause();
          wire.socket.pause();
          client.write("x");
          await until(() => wire.socket.readableLength > 0, "the first bytes");
          // A clean close in half of the cases. Node cannot reset while it sends that.
          if (count++ % 2 === 0) await new Promise<void>((sent) => wire.socket.end(sent));
          wire.socket.resetAndDestroy();
          client.destroy();
          wire.close();
        },
      };
    },
  },
  {
    name: "a client sends more than is accepted before the backend is connected",
    thread: "Bun PR #42351",
    times: 1000,
    async prepare(context) {
      const stud = await echoing(context, []);
      const bytes = Buffer.alloc(256 * 1024, "abc");
      return {
        stud,
        async once() {
          const client = await openTls(stud.frontend);
          client.end(bytes);
          const answer = await readAll(client);
          client.destroy();
          if (!answer.equals(bytes)) throw new Error("the echo is not what was sent");
        },
      };
    },
  },
  {
    name: "TLS to the backend (client mode)",
    thread: "Node #66002; Bun #40306",
    appliesTo: ({ backendTrust }) => backendTrust,
    times: 3000,
    async prepare(context) {
      const pem = readFileSync(context.certificates.localhost);
      const server = createServer({ key: pem, cert: pem }, (socket) => {
        socket.on("error", () => {}).pipe(socket);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      context.after(() => server.close());
      const { port } = server.address() as AddressInfo;
      const stud = await context.stud(["--client", "--client-verify=none"], { backend: port });
      return {
        stud,
        async once() {
          const client = await openTcp(stud.frontend);
          client.write("hello");
          await within(once(client, "data"), "the echo");
          client.destroy();
        },
      };
    },
  },
  {
    name: "a handshake that takes too long is cut",
    thread: "Deno: close in mid-handshake",
    times: 1000,
    atOnce: 100,
    async prepare(context) {
      const stud = await echoing(context, ["--ssl-handshake-timeout=1"]);
      return {
        stud,
        async once() {
          const client = await openTcp(stud.frontend);
          await ending(client);
          client.destroy();
        },
      };
    },
  },
];

/** Runs those with `only` in their name one after the other, each with its own stud. */
export async function testLeaks(context: Context, only: string): Promise<LeakResult[]> {
  const results: LeakResult[] = [];
  for (const repetition of repetitions) {
    if (!repetition.name.includes(only)) continue;
    const name = `${repetition.times} × ${repetition.name} (${repetition.thread})`;
    const result = repetition.appliesTo?.(context.target) === false
      ? { name, found: "", isGood: true }
      : await measure(context.like(context.target), name, repetition);
    console.error(`${context.target.name}: ${name}: ${result.found || "not in this build"}`);
    results.push(result);
  }
  if (INVENTED.includes(only)) {
    results.push(await inventedNames(context.like(context.target)));
  }
  return results;
}

/** A Markdown table with one row for each, one column for each build. */
export function leakTable(builds: readonly string[], results: readonly LeakResult[][]): string {
  const rows = results[0]!.map(({ name }, i) => [
    name,
    ...results.map((all) => all[i]!.found || "not in this build"),
  ]);
  const lines = [["repeated", ...builds], ["---", ...builds.map(() => "--:")], ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

async function measure(
  context: Context,
  name: string,
  { times, atOnce = AT_ONCE, prepare }: Repetition,
): Promise<LeakResult> {
  try {
    const { stud, once } = await prepare(context);
    const worker = stud.worker();
    await repeat(times / 3, atOnce, once);
    const idle = await restingDescriptors(worker);
    const before = anonymousMemory(worker);
    await repeat(times, atOnce, once);
    const isAtRest = () => descriptorCount(worker) <= idle;
    await until(isAtRest, "descriptors at rest").catch(() => {});
    const more = descriptorCount(worker) - idle;
    const growth = anonymousMemory(worker) - before;
    const isGood = growth < MAX_GROWTH && more <= 0 && stud.worker() === worker;
    return { name, ...resultOf(growth, more, isGood) };
  } finally {
    await context.cleanUp();
  }
}

/** The memory used for names is freed at the latest when the worker is replaced. */
async function inventedNames(context: Context): Promise<LeakResult> {
  const times = 12_000;
  const name = `${times} × ${INVENTED} (Deno: the SNI resolver's memory)`;
  try {
    const { a, b } = context.certificates;
    const stud = await echoing(context, [a, b]);
    const first = stud.worker();
    let count = 0;
    let resets = 0;
    const ask = async () => {
      const servername = `n${count++}.invented.example`;
      try {
        (await openTls(stud.frontend, { servername })).destroy();
      } catch (error) {
        // When a worker with its own socket is replaced, the connections in its queue are lost.
        const isExpected = (error as NodeJS.ErrnoException).code === "ECONNRESET" &&
          !context.target.adoptSockets && ++resets <= AT_ONCE;
        if (!isExpected) throw error;
      }
    };
    await repeat(100, AT_ONCE, ask);
    const before = anonymousMemory(first);
    await repeat(times, AT_ONCE, ask);
    // Where names are kept, the worker has a successor by now.
    if (context.target.runtime === "deno") await until(() => !isAlive(first), "a successor");
    const growth = anonymousMemory(stud.worker()) - before;
    const result = resultOf(growth, 0, growth < 2 * MAX_GROWTH);
    console.error(`${context.target.name}: ${name}: ${result.found}`);
    return { name, ...result };
  } finally {
    await context.cleanUp();
  }
}

function resultOf(growth: number, descriptors: number, isGood: boolean) {
  const megabytes = (growth / 1e6).toFixed(1);
  const found = `${growth < 0 ? "−" : "+"}${megabytes.replace("-", "")} MB, ` +
    `${Math.max(0, descriptors)} descriptors`;
  return { found: isGood ? found : `**LEAK**: ${found}`, isGood };
}

/** The descriptors that are open when nothing has changed for ten checks. */
async function restingDescriptors(worker: number): Promise<number> {
  let last = -1;
  let unchanged = 0;
  await until(() => {
    const now = descriptorCount(worker);
    unchanged = now === last ? unchanged + 1 : 0;
    last = now;
    return unchanged === 10;
  }, "descriptors at rest");
  return last;
}

async function repeat(times: number, atOnce: number, once: () => Promise<void>): Promise<void> {
  const inTurn = async () => {
    while (times-- > 0) await once();
  };
  await Promise.all(Array.from({ length: atOnce }, inTurn));
}

async function echoing(context: Context, words: readonly string[]): Promise<Stud> {
  return await context.stud(words, { backend: (await context.echo()).port });
}

async function hello({ frontend }: Stud): Promise<void> {
  const answer = await exchange(frontend, "hello");
  if (String(answer) !== "hello") throw new Error(`answered ${answer}`);
}
