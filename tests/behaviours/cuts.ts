/** What stud cuts does not look complete, and what it received before a reset is delivered. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Backend } from "../support/backend.ts";
import {
  ending,
  exchange,
  openTcp,
  PARTIAL_HELLO,
  readAll,
  recordTypes,
} from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { hold, killIfAlive, socketCount, workersOf } from "../support/processes.ts";
import { socketOptions } from "../support/socket_options.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";
import { ALERT } from "./close.ts";

const RESET = "ECONNRESET";
const KIB = 1024;
/** TCP options (netinet/tcp.h). */
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
/** The type of a TLS record (RFC 8446 section 5.1). */
const APPLICATION_DATA = 23;
/** More than all buffers on the way to a client that does not read. */
const HUGE = 64 * KIB * KIB;
/** For a side that was writing. */
const IS_RESET = /^(ECONNRESET|EPIPE)$/;
/** Bytes of a TLS 1.2 record beyond its header and its plain text (RFC 5288). */
const GCM_OVERHEAD = 24;

export const cuts: readonly Behaviour[] = [
  {
    name: "--drain-timeout cuts a download without close_notify, and an upload with a reset",
    run: (context) => cutByStop(context, ["--drain-timeout=0.5"], ({ stop }) => stop("SIGTERM")),
  },
  {
    name: "a second signal cuts a download without close_notify, and an upload with a reset",
    run: (context) =>
      cutByStop(context, ["--drain-timeout=600"], async ({ signal, stop, waitForLog }) => {
        signal("SIGTERM");
        await waitForLog((line) => line.event === "stopping", "the stop");
        // The same signal counts once if it arrives twice at almost the same time.
        return await stop("SIGINT");
      }),
  },
  {
    name: "--reload-drain-timeout cuts a download without close_notify, and an upload with a reset",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "cuts-"));
      const config = join(directory, "stud.conf");
      writeFileSync(config, "log-level = 1\n");
      const { stud, wire, upload, server } = await transfers(context, [
        "--reload-drain-timeout=0.5",
        `--config=${config}`,
      ]);
      // A changed setting needs new workers.
      writeFileSync(config, "log-level = 2\n");
      stud.signal("SIGHUP");
      const [download, backend] = await Promise.all([ending(wire.socket), ending(server)]);
      assert.deepEqual([download, backend], [RESET, RESET]);
      assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
      upload.destroy();
    },
  },
  {
    name: "a killed worker resets the backends of its uploads, and sends no close_notify",
    async run(context) {
      const { stud, wire, upload, server } = await transfers(context, []);
      killIfAlive(stud.worker());
      assert.equal(await ending(server), RESET);
      await ending(wire.socket);
      assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
      upload.destroy();
    },
  },
  {
    name: "--max-lifetime cuts an upload whose backend does not read, and a half-closed connection",
    waits: true,
    async run(context) {
      const { stud, backend } = await started(context, ["--max-lifetime=6"]);
      const blocked = await context.tls(stud.frontend);
      const first = await backend.accept();
      blocked.write(Buffer.alloc(HUGE));
      const half = await context.tls(stud.frontend);
      half.end("question");
      const second = await backend.accept();
      await until(() => stud.failures().length === 2, "both have ended", 40_000);
      const all = [ending(blocked), ending(half), ending(first)];
      assert.deepEqual(await Promise.all(all), [RESET, RESET, RESET]);
      // This one has the whole question, and its answer fails.
      await ending(second);
      assert.deepEqual(stud.failures(), ["limit lifetime", "limit lifetime"]);
    },
  },
  {
    name: "--idle-timeout cuts a client that does not read, and the log says so",
    waits: true,
    // The backend must begin to send within this time.
    run: (context) => blocks(context, ["--idle-timeout=2"], "limit idle-timeout", "the client had"),
  },
  {
    name: "a half-closed client that does not read is cut, and the log says that it is the client",
    waits: true,
    async run(context) {
      const { stud, server } = await flooding(context, ["--half-close-timeout=1"]);
      const wire = await context.wire(stud.frontend);
      const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
      wire.socket.pause();
      // Its own reader would pause it again, before the reset.
      wire.socket.unpipe();
      client.end("question");
      const [failure] = await failures(stud, 1);
      assert.deepEqual(stud.failures(), ["client half-close-timeout"]);
      assert.match(failure!, /the client does not read/);
      assert.match(await cutOf(server()), IS_RESET);
      assert.equal(await ending(wire.socket), RESET);
    },
  },
  {
    name: "a reload whose workers do not all start cuts none of the clients that they accepted",
    run: (context) => failedReload(context),
  },
  {
    name: "a TLS record cut in half by FIN is a truncation where the library reports it",
    async run(context) {
      const { stud, backend } = await started(context, []);
      for (const size of [1, 4, 5, 6, 20]) {
        const { wire, cut } = await cuttable(context, stud);
        const server = await backend.accept();
        assert.equal(String((await once(server, "data"))[0]), "begin");
        cut(size);
        const how = await ending(server);
        assert.equal(how, context.target.truncation ? RESET : "end", `${size} bytes`);
        server.destroy();
        wire.close();
      }
      if (!context.target.truncation) return;
      await failures(stud, 5);
      assert.deepEqual(new Set(stud.failures()), new Set(["client client-truncated"]));
    },
  },
  {
    name: "beyond --max-handshakes the clients that have sent nothing are reset first, and named",
    // Deno does not show which clients have sent something.
    appliesTo: ({ runtime }) => runtime !== "deno",
    async run(context) {
      const { stud } = await started(context, ["--max-handshakes=8", "-L", "1"]);
      const open = async () => {
        const socket = await openTcp(stud.frontend);
        context.after(() => socket.destroy());
        return socket;
      };
      const real = await Promise.all(Array.from({ length: 4 }, open));
      for (const socket of real) socket.write(PARTIAL_HELLO);
      // Some are reset before they know that they are connected.
      await Promise.allSettled(Array.from({ length: 40 }, open));
      const lines = await failures(stud, 10);
      assert.ok(real.every((socket) => !socket.destroyed && !socket.readableEnded));
      assert.match(lines[0]!, /from 127\.\d+\.\d+\.\d+:\d+ .*had sent nothing/);
    },
  },
  {
    name: "keepalive probes follow each other as fast as --keepalive says",
    async run(context) {
      const { stud } = await started(context, ["-k", "5"]);
      await context.tls(stud.frontend);
      for (const [option, value] of [[TCP_KEEPIDLE, 5], [TCP_KEEPINTVL, 5], [TCP_KEEPCNT, 3]]) {
        const values = await socketOptions(stud.worker(), { listening: false, option: option! });
        assert.ok(values.includes(value!), `option ${option}: ${values}`);
      }
    },
  },
  {
    name: "an answer is delivered whole though the backend closes with request bytes unread",
    run: (context) => unread(context, 64 * KIB, [], 1000),
  },
  {
    name: "a larger answer is delivered to a slow client before the backend's reset",
    run: (context) => unread(context, 192 * KIB, ["--send-bufsize=8192"], 1000),
  },
  {
    name: "an answer is delivered though the backend stops reading a large upload",
    // A client that is held up while it sends takes the reset for a failed write.
    alone: true,
    run: (context) => unread(context, 64 * KIB, [], 8 * KIB * KIB),
  },
];

/** Cuts by a stop. */
async function cutByStop(
  context: Context,
  args: readonly string[],
  stop: (stud: {
    readonly signal: Stud["signal"];
    readonly stop: Stud["stop"];
    readonly waitForLog: Stud["waitForLog"];
  }) => Promise<{ code: number | null }>,
): Promise<void> {
  const { stud, wire, upload, server } = await transfers(context, args);
  const both = Promise.all([ending(wire.socket), ending(server)]);
  const { code } = await stop({
    signal: (name) => stud.signal(name),
    stop: (name) => stud.stop(name),
    waitForLog: (test, what) => stud.waitForLog(test, what),
  });
  assert.equal(code, 3);
  assert.deepEqual(await both, [RESET, RESET]);
  assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
  upload.destroy();
}

/** One of the new workers is killed before it accepts, after another one has accepted a client. */
async function failedReload(context: Context): Promise<void> {
  const directory = mkdtempSync(join(context.certificates.directory, "cuts-"));
  const config = join(directory, "stud.conf");
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const write = (workers: number) => {
    const lines = [
      `frontend = "[${frontend.host}]:${frontend.port}"`,
      `backend = "[127.0.0.1]:${backend}"`,
      `pem-file = "${context.certificates.localhost}"`,
      'log-format = "json"',
      `workers = ${workers}`,
    ];
    writeFileSync(config, lines.join("\n") + "\n");
  };
  write(1);
  const stud = await context.stud([`--config=${config}`], { backend, frontend, exact: true });
  const client = await acceptedByFailing(context, stud, write);
  const failed = await stud.waitForLog(
    ({ event }) => event === "reload-failed",
    "the reload fails",
  );
  assert.match(failed.message, /worker \d+ cannot start: it exited during its start/);
  client.end("still here");
  assert.equal(String(await readAll(client)), "still here");
  assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
}

/** A client of a worker whose generation fails. */
async function acceptedByFailing(
  context: Context,
  stud: Stud,
  write: (workers: number) => void,
): Promise<TLSSocket> {
  for (let workers = 2;; workers++) {
    const before = new Set(workersOf(stud.pid));
    const added = () => workersOf(stud.pid).filter((pid) => !before.has(pid));
    write(workers);
    stud.signal("SIGHUP");
    await until(() => added().length === workers, "the new workers");
    const victim = added().at(-1)!;
    await hold(victim);
    const others = added().slice(0, -1);
    const count = () => others.reduce((sum, pid) => sum + socketCount(pid), 0);
    const isAccepting = () => stud.logged("worker-started").length >= workers;
    await until(isAccepting, "the others accept");
    // The victim may have been ready before it was stopped; then it is tried again.
    const isLate = stud.logged("reloaded").length > workers - 2;
    const idle = count();
    // The kernel or the faster worker decides who accepts.
    const client = isLate ? undefined : await until(async () => {
      // On Deno the queue of the stopped worker gets some of them.
      const opening = context.tls(stud.frontend).catch(() => undefined);
      const next = await Promise.race([opening, pause(300, undefined)]);
      return count() > idle ? next : undefined;
    }, "a client of a new worker");
    killIfAlive(victim);
    const hasSucceeded = () => stud.logged("reloaded").length > workers - 2;
    await until(() => stud.logged("reload-failed").length > 0 || hasSucceeded(), "the reload");
    if (client && !hasSucceeded()) return client;
  }
}

async function started(context: Context, args: readonly string[]) {
  const backend = await context.backend();
  const stud = await context.stud(args, { backend: backend.port });
  return { stud, backend };
}

/** A download and an upload that both sides are in the middle of. */
async function transfers(context: Context, args: readonly string[]) {
  const { stud, backend } = await started(context, args);
  const wire = await context.wire(stud.frontend);
  const download = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
  (await backend.accept()).write("half an ans");
  await once(download, "data");
  const upload = await context.tls(stud.frontend);
  upload.write("half a que");
  const server = await backend.accept();
  await once(server, "data");
  // Deno knows the descriptor of a socket that is written to for longer.
  for (const more of ["sti", "on"]) {
    upload.write(more);
    await once(server, "data");
  }
  return { stud, wire, upload, server };
}

/** A client that does not read an endless answer is cut with this failure. */
async function blocks(
  context: Context,
  args: readonly string[],
  expected: string,
  cause: string,
): Promise<void> {
  const { stud, server } = await flooding(context, args);
  const wire = await context.wire(stud.frontend);
  await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
  wire.socket.pause();
  // Its own reader would pause it again, before the reset.
  wire.socket.unpipe();
  const [failure] = await failures(stud, 1);
  assert.deepEqual(stud.failures(), [expected]);
  assert.ok(failure!.includes(cause), failure!);
  assert.match(await cutOf(server()), IS_RESET);
  assert.equal(await ending(wire.socket), RESET);
  assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
}

/** A backend that sends more than a client without reading can receive, as soon as it is connected. */
async function flooding(context: Context, args: readonly string[]) {
  let server: Socket | undefined;
  const backend = await context.backend((socket) => {
    server = socket;
    socket.resume().write(Buffer.alloc(HUGE));
  });
  const stud = await context.stud(args, { backend: backend.port });
  return { stud, server: () => server! };
}

/** The error that ends a connection whose peer may have ended its own direction before. */
async function cutOf(socket: Socket): Promise<string> {
  await until(() => socket.destroyed, "the cut");
  return (socket.errored as NodeJS.ErrnoException | null)?.code ?? "none";
}

async function failures(stud: Stud, count: number): Promise<string[]> {
  const lines = () => stud.logs.filter(({ event }) => event === "connection-failed");
  await until(() => lines().length >= count, `${count} failed connections`, 60_000);
  return lines().map(({ message }) => message);
}

/** A TLS client whose next record `cut` sends only so many bytes of, and then FIN. */
async function cuttable(context: Context, stud: Stud) {
  const wire = await context.wire(stud.frontend);
  const client = await context.tls(wire.entry);
  client.write("begin");
  const cut = (size: number) => {
    // A record of application data (RFC 8446 section 5.2) of 100 bytes.
    const record = Buffer.alloc(105, 7);
    Buffer.from([23, 3, 3, 0, 100]).copy(record);
    wire.socket.end(record.subarray(0, size));
  };
  return { wire, cut };
}

/**
 * A backend answers, and resets the connection since request bytes are unread; the client reads only
 * later, and then gets all bytes before the cut.
 */
async function unread(
  context: Context,
  size: number,
  args: readonly string[],
  request: number,
): Promise<void> {
  const { stud, backend } = await started(context, args);
  const wire = await context.wire(stud.frontend);
  const client = await context.tls(wire.entry, {
    maxVersion: "TLSv1.2",
    ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
  });
  const before = wire.received.length;
  client.write(Buffer.alloc(request, "q"));
  const server = await backend.accept();
  await once(server, "readable");
  wire.socket.pause();
  // Its own reader would pause it again, before the reset.
  wire.socket.unpipe();
  server.write(Buffer.alloc(size, "a"));
  const isSent = () => server.writableLength === 0 && unsent(backend, server) === 0;
  await until(isSent, "the backend has sent its answer");
  server.resetAndDestroy();
  // Too short a pause would only make the test weaker: stud must have seen the reset by then.
  await pause(200);
  const how = await ending(wire.socket);
  const received = plainBytes(Buffer.concat(wire.received.slice(before)));
  assert.deepEqual({ received, how }, { received: size, how: RESET });
}

/** Counts what complete records of application data carry. */
function plainBytes(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at] === APPLICATION_DATA && at + 5 + length <= bytes.length) {
      sum += length - GCM_OVERHEAD;
    }
    at += 5 + length;
  }
  return sum;
}

/** Bytes of a backend's connection that stud has not acknowledged. */
function unsent(backend: Backend, socket: Socket): number {
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0");
  const ends = `: \\w+:${hex(backend.port)} \\w+:${hex(socket.remotePort!)}`;
  const line = new RegExp(`${ends} \\w+ (\\w+):`);
  return parseInt(line.exec(readFileSync("/proc/net/tcp", "utf8"))![1]!, 16);
}
