/** A PROXY header that a load balancer sends before TLS starts. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { refuses } from "../support/capability.ts";
import { ending, openTcp, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import type { Endpoint } from "../support/endpoints.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";
import type { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const V1 = Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.9 1234 443\r\n");
/** The same addresses in version 2. */
const V2 = Buffer.from(`0d0a0d0a000d0a515549540a2111000cc0000207c633640904d201bb`, "hex");

const PASS = ["--proxy-proxy"];
const USE = ["--accept-proxy", "--trusted-proxies=127.0.0.0/8"];

export const proxyIn: readonly Behaviour[] = [
  ...[{ version: 1, header: V1 }, { version: 2, header: V2 }].flatMap(({ version, header }) => [
    {
      name: `--proxy-proxy passes a version ${version} header on unchanged`,
      async run(context: Context) {
        if (!context.target.headerFirst) return await refuses(context, "headerFirst", PASS);
        const { bytes } = await through(context, PASS, whole(header));
        assert.deepEqual(bytes, Buffer.concat([header, Buffer.from("hello")]));
      },
    },
    {
      name: `--proxy-proxy accepts a version ${version} header byte by byte`,
      appliesTo: able,
      async run(context: Context) {
        const { bytes } = await through(context, PASS, byteByByte(header));
        assert.deepEqual(bytes, Buffer.concat([header, Buffer.from("hello")]));
      },
    },
    {
      name: `--proxy-proxy accepts a version ${version} header in one packet with the ClientHello`,
      appliesTo: able,
      async run(context: Context) {
        const { bytes } = await through(context, PASS, glued(header));
        assert.deepEqual(bytes, Buffer.concat([header, Buffer.from("hello")]));
      },
    },
    {
      name: `--accept-proxy uses the client's address from a version ${version} header`,
      async run(context: Context) {
        if (!context.target.headerFirst) return await refuses(context, "headerFirst", USE);
        const words = [...USE, "--write-proxy-v2", "--log-level=2"];
        const { bytes, stud } = await through(context, words, whole(header));
        const { source, destination, length } = decodeProxyV2(bytes);
        assert.deepEqual(source, { host: "192.0.2.7", port: 1234 });
        assert.deepEqual(destination, { host: "198.51.100.9", port: 443 });
        assert.equal(String(bytes.subarray(length)), "hello");
        const line = await stud.waitForLog(
          ({ event }) => event === "connection-established",
          "the connection is logged",
        );
        assert.equal(line.client, "192.0.2.7:1234");
      },
    },
  ]),
  {
    name: "--accept-proxy refuses a peer that is not trusted",
    appliesTo: able,
    async run(context) {
      const words = ["--accept-proxy", "--trusted-proxies=10.0.0.0/8,192.0.2.1"];
      await isRefused(context, words, V1);
    },
  },
  ...[
    { what: "garbage", header: Buffer.from("GET / HTTP/1.1\r\n\r\n") },
    { what: "a line without an end", header: Buffer.from(`PROXY TCP4 ${"1".repeat(200)}`) },
    { what: "an invalid address", header: Buffer.from("PROXY TCP4 a b 1 2\r\n") },
    { what: "a version 2 header of an unknown version", header: changed(V2, 12, 0x31) },
    { what: "a version 2 header too short for its addresses", header: changed(V2, 15, 4) },
  ].map(({ what, header }): Behaviour => ({
    name: `--accept-proxy refuses ${what}`,
    appliesTo: able,
    run: (context) => isRefused(context, USE, header),
  })),
  {
    name: "a client that never finishes its PROXY header is cut in time",
    appliesTo: able,
    async run(context) {
      const words = [...USE, "--ssl-handshake-timeout=0.5"];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      const socket = await openTcp(stud.frontend);
      context.after(() => socket.destroy());
      socket.write(V1.subarray(0, 20));
      await ending(socket);
      await until(() => stud.failures().length === 1, "the failure is logged");
      assert.deepEqual(stud.failures(), ["client handshake-timeout"]);
    },
  },
];

function able({ headerFirst }: { readonly headerFirst: boolean }): boolean {
  return headerFirst;
}

/** Sends the header to stud before the TLS client's first bytes. */
type Bringing = (socket: Socket) => void | Promise<void>;

function whole(header: Buffer): Bringing {
  return (socket) => void socket.write(header);
}

function byteByByte(header: Buffer): Bringing {
  return async (socket) => {
    // Each byte becomes a separate segment, because Nagle's algorithm is off.
    for (const byte of header) await new Promise((sent) => socket.write(Buffer.of(byte), sent));
  };
}

/** Holds the header back until the ClientHello has arrived. */
function glued(header: Buffer): Bringing {
  return (socket) => {
    const { write } = socket;
    socket.write = function (this: Socket, chunk: unknown, ...rest: unknown[]) {
      socket.write = write;
      const both = Buffer.concat([header, chunk as Buffer]);
      return (write as (...all: unknown[]) => boolean).call(this, both, ...rest);
    } as typeof write;
  };
}

/** Sends "hello" through stud and returns what the backend received. */
async function through(
  context: Context,
  words: readonly string[],
  bring: Bringing,
): Promise<{ bytes: Buffer; stud: Stud }> {
  const backend = await context.backend();
  const stud = await context.stud(words, { backend: backend.port });
  const wire = await context.wire(stud.frontend);
  await bring(wire.socket);
  const client = await context.tls(wire.entry);
  client.end("hello");
  const socket = await backend.accept();
  const bytes = await readAll(socket);
  socket.end();
  assert.deepEqual(stud.failures(), []);
  return { bytes, stud };
}

async function isRefused(context: Context, words: readonly string[], header: Buffer) {
  const backend = await context.backend();
  const stud = await context.stud(words, { backend: backend.port });
  const { frontend }: { frontend: Endpoint } = stud;
  // An untrusted peer may be reset before it learns that it was connected.
  const socket = await openTcp(frontend).catch(() => undefined);
  context.after(() => socket?.destroy());
  socket?.write(header);
  if (socket) await ending(socket);
  await until(() => stud.failures().length === 1, "the failure is logged");
  assert.match(stud.failures()[0]!, /^client /);
  assert.equal(backend.waiting.length, 0);
}

function changed(header: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(header);
  copy[at] = value;
  return copy;
}
