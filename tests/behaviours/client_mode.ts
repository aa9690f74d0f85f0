/** `--client`: plain connections in, TLS to the backend. */
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { createServer, type TlsOptions, type TLSSocket } from "node:tls";
import { refuses } from "../support/capability.ts";
import { ending, openTcp, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import type { Stud } from "../support/stud.ts";
import { until, within } from "../support/until.ts";
import { VERSIONS } from "../support/visits.ts";

export const clientMode: readonly Behaviour[] = [
  {
    name: "the backend is verified by the given CA, and gets SNI and ALPN",
    async run(context) {
      const words = [...trusting(context), "--backend-name=localhost", "--alpn-protos=h2,echo"];
      if (!context.target.backendTrust) {
        return await refuses(context, "backendTrust", [words[1]!, "--client"]);
      }
      const backend = await startTls(context, { ALPNProtocols: ["echo"] });
      const stud = await start(context, words, backend.port);
      assert.equal(await sayHello(stud.frontend), "hello");
      const [connection] = backend.connections;
      assert.equal(connection!.servername, "localhost");
      assert.equal(connection!.alpnProtocol, "echo");
    },
  },
  {
    name: "a backend of another CA is refused, and receives none of the client's bytes",
    async run(context) {
      const backend = await startTls(context);
      const stud = await start(context, ["--client", "--backend-name=localhost"], backend.port);
      const socket = await openTcp(stud.frontend);
      socket.write("secret");
      await ending(socket);
      assert.equal(
        await causeOf(stud),
        "the backend's certificate is not trusted: its CA is unknown; add it to --client-verify-ca",
      );
      assert.deepEqual(stud.failures(), ["backend backend-handshake"]);
      assert.equal(backend.received(), "");
    },
  },
  {
    name: "a backend with another name is refused",
    appliesTo: ({ backendTrust }) => backendTrust,
    async run(context) {
      const backend = await startTls(context);
      const words = [...trusting(context), "--backend-name=other.example"];
      const stud = await start(context, words, backend.port);
      await ending(await openTcp(stud.frontend));
      assert.equal(
        await causeOf(stud),
        "the backend's certificate is not valid for other.example; set --backend-name",
      );
      assert.deepEqual(stud.failures(), ["backend backend-handshake"]);
    },
  },
  {
    name: "--client-verify=none accepts any backend",
    async run(context) {
      const words = ["--client", "--client-verify=none"];
      if (!context.target.backendTrust) return await refuses(context, "backendTrust", words);
      const backend = await startTls(context);
      const stud = await start(context, words, backend.port);
      assert.equal(await sayHello(stud.frontend), "hello");
    },
  },
  ...VERSIONS.map((version): Behaviour => ({
    name: `connections resume the ${version} session with the backend, until settings change`,
    appliesTo: ({ backendTrust }) => backendTrust,
    async run(context) {
      const backend = await startTls(context, { minVersion: version, maxVersion: version });
      const ca = join(mkdtempSync(join(context.certificates.directory, "ca-")), "ca.pem");
      copyFileSync(context.certificates.ca, ca);
      const words = ["--client", `--client-verify-ca=${ca}`, "--backend-name=localhost"];
      const stud = await start(context, words, backend.port);
      const resumed = async () => {
        const socket = await openTcp(stud.frontend);
        socket.write("hello");
        // BoringSSL ignores tickets that come after its own close_notify.
        await within(once(socket, "data"), "the echo");
        socket.end();
        await readAll(socket);
        return backend.resumed.at(-1);
      };
      assert.equal(await resumed(), false);
      for (let i = 0; i < 5; i++) assert.equal(await resumed(), true, `connection ${i}`);
      appendFileSync(ca, readFileSync(context.certificates.localhost.replace(/pem$/, "crt")));
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "generation-ended", "the old worker's end");
      assert.equal(await resumed(), false, "with other CAs");
      assert.equal(await resumed(), true);
    },
  })),
  {
    name: "a backend's FIN without close_notify is passed on as a reset where it is known",
    appliesTo: ({ backendTrust }) => backendTrust,
    async run(context) {
      const backend = await startTls(context);
      const wires: Socket[] = [];
      const relay = await context.backend((client) => {
        wires.push(client);
        const onward = connect({ port: backend.port, host: "127.0.0.1", allowHalfOpen: true });
        onward.on("error", () => {});
        client.pipe(onward).pipe(client);
        client.on("close", () => onward.destroy());
      });
      const stud = await start(context, ["--client-verify=none", "--client"], relay.port);
      const socket = await openTcp(stud.frontend);
      socket.write("half an ans");
      let received = String((await once(socket, "data"))[0]);
      socket.on("data", (bytes: Buffer) => received += String(bytes));
      wires[0]!.end();
      const { closeNotify } = context.target;
      assert.equal(await ending(socket), closeNotify ? "ECONNRESET" : "end");
      assert.equal(received, "half an ans");
      socket.destroy();
      if (!closeNotify) return;
      await until(() => stud.failures().length === 1, "the failure is logged");
      assert.deepEqual(stud.failures(), ["backend backend-truncated"]);
    },
  },
  {
    name: "16 MiB pass in both directions, with half-close",
    appliesTo: ({ backendTrust }) => backendTrust,
    async run(context) {
      const backend = await startTls(context);
      const stud = await start(context, ["--client-verify=none", "--client"], backend.port);
      const socket = await openTcp(stud.frontend);
      const payload = Buffer.alloc(16 * 1024 * 1024, "abcdefg");
      socket.end(payload);
      assert.ok(payload.equals(await readAll(socket)));
    },
  },
];

function trusting({ certificates }: Context): string[] {
  return ["--client", `--client-verify-ca=${certificates.ca}`];
}

/** No PEM file is needed. */
async function start(context: Context, words: readonly string[], port: number): Promise<Stud> {
  const frontend = await freeEndpoint();
  const all = [
    ...words,
    ...[`--frontend=${frontend.host},${frontend.port}`, `--backend=127.0.0.1,${port}`],
    ...["--log-format=json", "-n", "1"],
  ];
  const stud = await context.launch(all, { backend: port, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return stud;
}

/** Returns why the backend is down, in words. */
async function causeOf(stud: Stud): Promise<unknown> {
  return (await stud.waitForLog(({ event }) => event === "backend-down", "the failure")).cause;
}

async function startTls(context: Context, options: TlsOptions = {}) {
  const pem = readFileSync(context.certificates.localhost);
  const connections: TLSSocket[] = [];
  const resumed: boolean[] = [];
  let received = "";
  const server = createServer({ key: pem, cert: pem, allowHalfOpen: true, ...options });
  server.on("tlsClientError", () => {});
  server.on("secureConnection", (socket) => {
    connections.push(socket);
    resumed.push(socket.isSessionReused());
    socket.on("error", () => {}).on("data", (bytes: Buffer) => {
      if (received.length < 100) received += String(bytes);
    });
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    for (const socket of connections) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { port, connections, resumed, received: () => received };
}

async function sayHello(frontend: Endpoint): Promise<string> {
  const socket = await openTcp(frontend);
  socket.end("hello");
  return String(await readAll(socket));
}
