/** The access log's line for every way in which a connection can end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { join } from "node:path";
import { startHangingPort } from "../support/backend.ts";
import { ending, exchange, openTcp, PARTIAL_HELLO, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

type Line = Readonly<Record<string, unknown>>;

/** One client of stud. */
class Visitor {
  readonly #context: Context;
  readonly #stud: Stud;
  /** Its connection to stud. */
  socket!: Socket;
  /** As in the log. */
  name = "";

  constructor(context: Context, stud: Stud) {
    this.#context = context;
    this.#stud = stud;
  }

  /** A connection without TLS. */
  async plain(): Promise<Socket> {
    return this.#opened(await openTcp(this.#stud.frontend));
  }

  /** A connection after its handshake; `socket` can end or reset what is below TLS. */
  async tls(): Promise<TLSSocket> {
    const wire = await this.#context.wire(this.#stud.frontend);
    this.#opened(wire.socket);
    return this.#context.tls(wire.entry);
  }

  #opened(socket: Socket): Socket {
    this.socket = socket;
    this.name = `127.0.0.1:${socket.localPort}`;
    this.#context.after(() => socket.destroy());
    return socket;
  }
}

/** One way in which a connection ends. */
interface End {
  readonly how: string;
  run(visitor: Visitor, stud: Stud, config: string): Promise<unknown>;
  /** Bytes received and sent, who ended it and why, and which times are known. */
  readonly line: string;
}

/** What the backend sends before a reset. */
const PART = "part";

/** A backend that does what the first word of a request says. */
function obedient(socket: Socket): void {
  socket.once("data", (bytes: Buffer) => {
    const word = String(bytes);
    if (word === "echo") socket.end(bytes);
    else if (word === "end") socket.resume().end("bye");
    else if (word === "end later") {
      socket.write(PART);
      socket.once("end", () => socket.end());
    } else if (word === "part") {
      socket.write(PART);
      socket.once("data", () => socket.resetAndDestroy());
    }
  });
}

async function answered(client: Socket, request: string): Promise<void> {
  const answer = within(once(client, "data"), "an answer");
  client.write(request);
  await answer;
}

const RELAYED: readonly End[] = [
  {
    how: "the client ends first",
    async run(visitor) {
      const client = await visitor.tls();
      client.end("echo");
      await readAll(client);
    },
    line: "4/4 client closed, handshake and connect",
  },
  {
    how: "the client ends first, without close_notify",
    async run(visitor) {
      const client = await visitor.tls();
      await answered(client, "end later");
      visitor.socket.end();
      await ending(visitor.socket);
    },
    line: "9/4 client closed, handshake and connect",
  },
  {
    how: "the backend ends first",
    async run(visitor) {
      const client = await visitor.tls();
      client.write("end");
      await readAll(client);
      client.end("late");
    },
    line: "7/3 backend closed, handshake and connect",
  },
  {
    how: "the client resets",
    async run(visitor) {
      const client = await visitor.tls();
      await answered(client, PART);
      visitor.socket.resetAndDestroy();
    },
    line: "4/4 client client-reset, handshake and connect",
  },
  {
    how: "the backend resets",
    async run(visitor) {
      const client = await visitor.tls();
      await answered(client, PART);
      client.write("again");
      await ending(client);
    },
    line: "9/4 backend backend-reset, handshake and connect",
  },
  {
    how: "the client never ends",
    async run(visitor) {
      const client = await visitor.tls();
      client.write("end");
      await readAll(client);
    },
    line: "3/3 client half-close-timeout, handshake and connect",
  },
  {
    how: "the backend never answers",
    async run(visitor) {
      const client = await visitor.tls();
      client.end("hold");
      await ending(client);
    },
    line: "4/0 backend half-close-timeout, handshake and connect",
  },
  {
    how: "the client leaves in its handshake",
    async run(visitor) {
      (await visitor.plain()).end(PARTIAL_HELLO);
    },
    line: "0/0 client handshake-failed",
  },
  {
    how: "the client does not speak TLS",
    async run(visitor) {
      const socket = await visitor.plain();
      socket.write("GET / HTTP/1.1\r\n\r\n");
      await ending(socket);
    },
    line: "0/0 client handshake-failed",
  },
  {
    how: "the client is silent",
    async run(visitor) {
      await ending(await visitor.plain());
    },
    line: "0/0 client handshake-timeout",
  },
];

/** Connections that a limit or stud itself ends. */
interface Limited extends End {
  readonly words: readonly string[];
  /** Absent: an obedient one. */
  readonly backend?: "away" | "hanging";
}

const LIMITED: readonly Limited[] = [
  {
    how: "the backend refuses",
    words: [],
    backend: "away",
    async run(visitor) {
      const client = await visitor.tls();
      client.end("hello");
      await ending(client);
    },
    line: "5/0 backend backend-refused, handshake",
  },
  {
    how: "--backend-connect-timeout",
    words: ["--backend-connect-timeout=0.4"],
    backend: "hanging",
    async run(visitor) {
      const client = await visitor.tls();
      client.end("hello");
      await ending(client);
    },
    line: "5/0 backend backend-timeout, handshake",
  },
  {
    how: "--idle-timeout",
    words: ["--idle-timeout=1"],
    async run(visitor) {
      const client = await visitor.tls();
      await answered(client, PART);
      await readAll(client);
      client.end();
    },
    line: "4/4 limit idle-timeout, handshake and connect",
  },
  {
    how: "--max-lifetime",
    words: ["--max-lifetime=3"],
    async run(visitor) {
      const client = await visitor.tls();
      await answered(client, PART);
      await readAll(client);
      client.end();
    },
    line: "4/4 limit lifetime, handshake and connect",
  },
  {
    how: "--max-lifetime in the handshake",
    words: ["--max-lifetime=0.5"],
    async run(visitor) {
      await ending(await visitor.plain());
    },
    line: "0/0 limit lifetime",
  },
  {
    how: "--max-handshakes",
    words: ["--max-handshakes=1"],
    async run(visitor, stud) {
      const socket = await visitor.plain();
      socket.write(PARTIAL_HELLO);
      const other = await openTcp(stud.frontend);
      await ending(socket);
      other.destroy();
    },
    line: "0/0 client handshake-evicted",
  },
  {
    how: "--max-source-connections",
    words: ["--max-source-connections=1"],
    async run(visitor, stud) {
      const other = await openTcp(stud.frontend);
      other.write(PARTIAL_HELLO);
      // The reset may arrive before the socket knows that it is connected.
      await visitor.plain().then(ending, () => {});
      other.destroy();
    },
    line: "0/0 client source-limit",
  },
  {
    how: "--drain-timeout",
    words: ["--drain-timeout=0"],
    async run(visitor, stud) {
      const client = await visitor.tls();
      await answered(client, PART);
      void ending(client);
      await stud.stop();
    },
    line: "4/4 stop stopped, handshake and connect",
  },
  {
    how: "a stop in the handshake",
    words: ["--drain-timeout=0"],
    async run(visitor, stud) {
      const socket = await visitor.plain();
      socket.write(PARTIAL_HELLO);
      // It is accepted after the first.
      await exchange(stud.frontend, "echo");
      await stud.stop();
    },
    line: "0/0 stop stopped",
  },
  {
    how: "a second signal",
    words: ["--drain-timeout=600"],
    async run(visitor, stud) {
      const client = await visitor.tls();
      await answered(client, PART);
      void ending(client);
      stud.signal("SIGTERM");
      await stud.waitForLog(({ event }) => event === "stopping", "the stop");
      await stud.stop("SIGINT");
    },
    line: "4/4 stop stopped, handshake and connect",
  },
  {
    how: "--reload-drain-timeout",
    words: ["--reload-drain-timeout=0.2"],
    async run(visitor, stud, config) {
      const client = await visitor.tls();
      await answered(client, PART);
      // It needs new workers.
      writeFileSync(config, "access-log-format = json\nidle-timeout = 99\n");
      stud.signal("SIGHUP");
      await ending(client);
    },
    line: "4/4 stop stopped, handshake and connect",
  },
];

export const accessLogEnds: readonly Behaviour[] = [
  {
    name: "the access log says how a relayed connection ended, and who ended it",
    waits: true,
    async run(context) {
      const words = ["--half-close-timeout=5", "--ssl-handshake-timeout=10"];
      const { port } = await context.backend(obedient);
      const parts = await logging(context, words, port);
      await Promise.all(RELAYED.map((each) => check(context, each, parts)));
      assert.equal(parts.lines().length, RELAYED.length);
    },
  },
  {
    name: "the access log says which limit ended a connection, and what stud itself cut",
    waits: true,
    async run(context) {
      const { port } = await context.backend(obedient);
      const hanging = await startHangingPort();
      context.after(() => hanging.close());
      for (const each of LIMITED) {
        const backend =
          { obedient: port, hanging: hanging.port, away: 9 }[each.backend ?? "obedient"];
        await check(context, each, await logging(context, each.words, backend));
      }
    },
  },
  {
    name: "the access log has the client of a PROXY header, though its handshake fails",
    appliesTo: ({ headerFirst }) => headerFirst,
    async run(context) {
      const { port } = await context.backend(obedient);
      const words = ["--accept-proxy", "--trusted-proxies=127.0.0.0/8"];
      const { stud, lines } = await logging(context, words, port);
      const header = "PROXY TCP4 203.0.113.7 198.51.100.1 1234 443\r\n";
      const own: string[] = [];
      for (const text of [header, ""]) {
        const visitor = new Visitor(context, stud);
        const socket = await visitor.plain();
        own.push(visitor.name);
        socket.write(`${text}GET / HTTP/1.1\r\n\r\n`);
        await ending(socket);
      }
      await until(() => lines().length === 2, "both lines");
      assert.deepEqual(lines().map(({ client, reason, by }) => [client, reason, by]), [
        ["203.0.113.7:1234", "handshake-failed", "client"],
        [own[1], "proxy-header", "client"],
      ]);
    },
  },
];

/** Lets a connection end, and checks its line. */
async function check(
  context: Context,
  { how, run, line: expected }: End,
  { stud, config, lines }: Awaited<ReturnType<typeof logging>>,
): Promise<void> {
  const visitor = new Visitor(context, stud);
  const began = performance.now();
  await run(visitor, stud, config);
  const found = () =>
    lines().find((line) =>
      visitor.name ? line.client === visitor.name : summary(line) === expected
    );
  const line = await until(found, `the line when ${how}`) as Line;
  assert.equal(summary(line), expected, how);
  const { handshake = 0, connect = 0, total, backend } = line;
  assert.ok(Number(handshake) + Number(connect) <= Number(total), how);
  assert.ok(Number(total) <= (performance.now() - began) / 1000, how);
  assert.equal(backend !== undefined, line.handshake !== undefined, how);
}

function summary({ received, sent, by, reason, handshake, connect }: Line): string {
  const times = [
    handshake === undefined ? [] : ["handshake"],
    connect === undefined ? [] : ["connect"],
  ];
  const known = times.flat().join(" and ");
  return `${received}/${sent} ${by} ${reason}${known ? `, ${known}` : ""}`;
}

async function logging(context: Context, words: readonly string[], backend: number) {
  const directory = mkdtempSync(join(context.certificates.directory, "access-"));
  const [file, config] = [join(directory, "log"), join(directory, "conf")];
  writeFileSync(config, "access-log-format = json\n");
  const all = [`--access-log=${file}`, `--config=${config}`, ...words];
  const stud = await context.stud(all, { backend });
  const lines = (): Line[] =>
    readFileSync(file, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
  return { stud, config, lines };
}
