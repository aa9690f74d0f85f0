/** How connections close, cleanly or not, and that they leave nothing behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { Tls13Client } from "../faults/hostile/tls13.ts";
import { type Backend, startHangingPort } from "../support/backend.ts";
import { ending, openTcp, PARTIAL_HELLO, readAll, recordTypes } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { socketCount } from "../support/processes.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";

/** The type of a TLS record (RFC 8446 section 5.1). */
export const ALERT = 21;
/** Seconds. */
const UNREACHED = 5;

export const close: readonly Behaviour[] = [
  {
    name: "a client that half-closes with close_notify still receives a late answer",
    run: (context) =>
      ends(context, { expect: [] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        client.end("question");
        const server = await backend.accept();
        assert.equal(String(await readAll(server)), "question");
        server.end("answer");
        assert.equal(String(await readAll(client)), "answer");
      }),
  },
  {
    name: "a client that sends FIN without close_notify still receives a late answer",
    run: (context) =>
      ends(context, { expect: [] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry);
        client.write("question");
        const server = await backend.accept();
        assert.equal(String((await once(server, "data"))[0]), "question");
        wire.socket.end();
        await readAll(server);
        server.end("answer");
        assert.equal(String(await readAll(client)), "answer");
        client.destroy();
      }),
  },
  {
    name: "a backend that half-closes still receives",
    run: (context) =>
      ends(context, { expect: [] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        const server = await backend.accept();
        server.end("greeting");
        assert.equal(String(await readAll(client)), "greeting");
        client.end("late words");
        assert.equal(String(await readAll(server)), "late words");
      }),
  },
  {
    name: "a backend's clean end reaches the client as close_notify",
    run: (context) =>
      ends(context, { expect: [] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        // TLS 1.3 hides an alert's record type.
        const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
        (await backend.accept()).resume().end("bye");
        assert.equal(String(await readAll(client)), "bye");
        assert.equal(recordTypes(wire.received).at(-1), ALERT);
        client.end();
      }),
  },
  {
    name: "a backend's reset reaches the client as a reset without close_notify",
    run: (context) =>
      ends(context, { expect: ["backend backend-reset"] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
        const server = await backend.accept();
        server.write("half an ans");
        await once(client, "data");
        server.resetAndDestroy();
        assert.equal(await ending(wire.socket), "ECONNRESET");
        assert.notEqual(recordTypes(wire.received).at(-1), ALERT);
      }),
  },
  {
    name: "a backend's reset after the client's half-close reaches the client as a reset",
    run: (context) =>
      ends(context, { expect: ["backend backend-reset"] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        client.end("question");
        const server = await backend.accept();
        assert.equal(String(await readAll(server)), "question");
        server.resetAndDestroy();
        assert.equal(await ending(client), "ECONNRESET");
      }),
  },
  {
    name: "a client's reset closes the backend's connection",
    run: (context) =>
      ends(context, { expect: ["client client-reset"] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry);
        client.write("x");
        const server = await backend.accept();
        await once(server, "data");
        wire.socket.resetAndDestroy();
        assert.match(await ending(server), /^(end|ECONNRESET)$/);
        server.destroy();
      }),
  },
  {
    name: "a client that vanishes during a download is closed",
    run: (context) =>
      ends(context, { expect: ["client client-reset"] }, async ({ stud, backend }) => {
        const wire = await context.wire(stud.frontend);
        const client = await context.tls(wire.entry);
        const server = await backend.accept();
        const endless = () => {
          while (server.write(Buffer.alloc(65536)));
        };
        server.on("drain", endless);
        endless();
        await once(client, "data");
        wire.socket.resetAndDestroy();
        assert.match(await ending(server), /^(end|ECONNRESET|EPIPE)$/);
        server.destroy();
      }),
  },
  {
    name: "FIN during the handshake closes the connection",
    run: (context) =>
      ends(context, { expect: ["client handshake-failed"] }, async ({ stud }) => {
        const client = await openTcp(stud.frontend);
        client.end(PARTIAL_HELLO);
        await ending(client);
        client.destroy();
      }),
  },
  {
    name: "RST during the handshake closes the connection",
    run: (context) =>
      ends(
        context,
        { expect: ["client handshake-failed"] },
        async ({ stud }) => {
          const client = await Tls13Client.open(stud.frontend);
          client.hello();
          await client.answered();
          client.socket.resetAndDestroy();
        },
      ),
  },
  {
    name: "a client that stops sending during the handshake is cut after --ssl-handshake-timeout",
    run: (context) => {
      const args = ["--ssl-handshake-timeout=0.4"];
      return ends(context, { args, expect: ["client handshake-timeout"] }, async ({ stud }) => {
        const client = await openTcp(stud.frontend);
        client.write(PARTIAL_HELLO);
        await ending(client);
        client.destroy();
      });
    },
  },
  {
    name: "bytes that are not TLS fail the handshake",
    run: (context) =>
      ends(context, { expect: ["client handshake-failed"] }, async ({ stud }) => {
        const client = await openTcp(stud.frontend);
        client.write(Buffer.alloc(512, 0xa5));
        await ending(client);
        client.destroy();
      }),
  },
  {
    name: "plain HTTP sent to the TLS port fails the handshake",
    run: (context) =>
      ends(context, { expect: ["client handshake-failed"] }, async ({ stud }) => {
        const client = await openTcp(stud.frontend);
        client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await ending(client);
        client.destroy();
      }),
  },
  {
    name: "a backend that refuses closes the client's connection at once",
    async run(context) {
      const backend = await freeEndpoint();
      await ends(
        context,
        { backend, expect: ["backend backend-refused"] },
        (scene) => closesAtOnce(context, scene),
      );
    },
  },
  {
    name: "a backend without a route closes the client's connection at once",
    async run(context) {
      // TCP to the broadcast address fails inside the kernel; no packet leaves.
      const backend = { host: "255.255.255.255", port: 9 };
      await ends(
        context,
        { backend, expect: ["backend backend-unreachable"] },
        (scene) => closesAtOnce(context, scene),
      );
    },
  },
  {
    name: "a connection attempt to a backend is abandoned after --backend-connect-timeout",
    async run(context) {
      const hanging = await startHangingPort();
      context.after(() => hanging.close());
      const backend = { host: "127.0.0.1", port: hanging.port };
      const args = ["--backend-connect-timeout=0.4"];
      await ends(
        context,
        { backend, args, expect: ["backend backend-timeout"] },
        (scene) => closesAtOnce(context, scene),
      );
    },
  },
  {
    name: "the connection attempt to a hanging backend is abandoned when its client disconnects",
    async run(context) {
      const hanging = await startHangingPort();
      context.after(() => hanging.close());
      const backend = { host: "127.0.0.1", port: hanging.port };
      const args = ["--backend-connect-timeout=30"];
      await ends(context, { backend, args, expect: ["client client-reset"] }, async (scene) => {
        const wire = await context.wire(scene.stud.frontend);
        await context.tls(wire.entry);
        await scene.held(2);
        wire.socket.resetAndDestroy();
      });
    },
  },
  {
    name: "a reset that arrives together with the end of the handshake is a reset",
    async run(context) {
      const hanging = await startHangingPort();
      context.after(() => hanging.close());
      const backend = { host: "127.0.0.1", port: hanging.port };
      const args = ["--backend-connect-timeout=30"];
      await ends(context, { backend, args, expect: ["client client-reset"] }, async ({ stud }) => {
        const client = await Tls13Client.open(stud.frontend);
        client.hello();
        await client.answered();
        // The worker meets both at once; its tickets are then written to a dead connection.
        const worker = stud.worker();
        process.kill(worker, "SIGSTOP");
        try {
          client.finish();
          client.socket.resetAndDestroy();
          await client.ended;
        } finally {
          process.kill(worker, "SIGCONT");
        }
      });
    },
  },
  {
    name: "a half-closed connection whose backend is idle is cut after --half-close-timeout",
    run: (context) => {
      const args = ["--half-close-timeout=0.4"];
      const expect = ["backend half-close-timeout"];
      return ends(context, { args, expect }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        client.end("question");
        const server = await backend.accept();
        await readAll(server);
        assert.equal(await ending(client), "ECONNRESET");
        server.destroy();
      });
    },
  },
  {
    name: "a half-closed connection whose client is idle is cut after --half-close-timeout",
    run: (context) => {
      const args = ["--half-close-timeout=0.4"];
      const expect = ["client half-close-timeout"];
      return ends(context, { args, expect }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        const server = await backend.accept();
        server.end("answer");
        await readAll(client);
        await ending(server);
        context.after(() => server.destroy());
      });
    },
  },
  {
    name: "a half-closed connection that is not idle outlives --half-close-timeout",
    waits: true,
    run: (context) => {
      const args = [`--half-close-timeout=${UNREACHED}`];
      return ends(context, { args, expect: [] }, async ({ stud, backend }) => {
        const client = await context.tls(stud.frontend);
        client.end("question");
        const server = await backend.accept();
        await readAll(server);
        const answer = readAll(client);
        let sent = 0;
        // One and a half times the limit; no pause of this process may last as long.
        const end = performance.now() + 1500 * UNREACHED;
        for (; performance.now() < end; sent++) {
          server.write(".");
          await pause(200);
        }
        server.end();
        assert.equal((await answer).length, sent);
      });
    },
  },
];

interface Scene {
  readonly stud: Stud;
  readonly backend: Backend;
  /** Waits until the worker has this number of sockets more than when it was idle. */
  readonly held: (more: number) => Promise<unknown>;
}

interface Expectation {
  /** The `connection-failed` lines, each as "source code". */
  readonly expect: readonly string[];
  readonly args?: readonly string[];
  /** Replaces the scene's own backend. */
  readonly backend?: Endpoint;
}

/** Plays a scene, then checks what it left behind: descriptors, log lines, a dead worker. */
export async function ends(
  context: Context,
  { expect, args = [], backend: elsewhere }: Expectation,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const backend = await context.backend();
  const stud = await context.stud(args, { backend: elsewhere ?? backend.port });
  const worker = stud.worker();
  const idle = socketCount(worker);
  const held = (more: number) =>
    until(() => socketCount(worker) >= idle + more, `the worker holds ${more} more sockets`);
  await play({ stud, backend, held });
  await until(
    () => socketCount(worker) === idle,
    `the worker holds ${idle} sockets again`,
  );
  await until(
    () => stud.failures().length >= expect.length,
    `connection-failed lines: ${expect}, not ${stud.failures()}`,
  );
  assert.equal(stud.worker(), worker);
  assert.deepEqual(await stud.stop(), { code: 0, signal: null });
  assert.deepEqual(stud.failures(), expect);
}

/** With close_notify and FIN. */
async function closesAtOnce(context: Context, { stud }: Scene): Promise<void> {
  const wire = await context.wire(stud.frontend);
  const client = await context.tls(wire.entry, { maxVersion: "TLSv1.2" });
  assert.equal(await within(ending(client), "the client's connection closes", 20_000), "end");
  assert.equal(recordTypes(wire.received).at(-1), ALERT);
  client.destroy();
}
