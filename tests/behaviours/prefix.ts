/** What the backend receives about the client before the client's first byte. */
import assert from "node:assert/strict";
import type { TLSSocket } from "node:tls";
import { readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";

/** An address that the kernel would not choose by default. */
const CLIENT_V4 = "127.0.0.77";

export const prefix: readonly Behaviour[] = [
  {
    name: "no option, no prefix",
    async run(context) {
      const { bytes } = await capture(context, []);
      assert.equal(String(bytes), "payload");
    },
  },
  {
    name: "--write-ip: the family and the client's IPv4 address",
    async run(context) {
      const { bytes } = await capture(context, ["--write-ip"]);
      assert.deepEqual([...bytes.subarray(0, 5)], [2, 127, 0, 0, 77]);
      assert.equal(String(bytes.subarray(5)), "payload");
    },
  },
  {
    name: "--write-ip: the family and the client's IPv6 address",
    async run(context) {
      const { bytes } = await capture(context, ["--write-ip"], "::1");
      assert.deepEqual([...bytes.subarray(0, 17)], [10, ...new Array(15).fill(0), 1]);
      assert.equal(String(bytes.subarray(17)), "payload");
    },
  },
  {
    name: "--write-proxy: a PROXY v1 line over IPv4",
    async run(context) {
      const { bytes, client, server } = await capture(context, ["--write-proxy"]);
      const line = `PROXY TCP4 ${CLIENT_V4} ${server.host} ${client.port} ${server.port}\r\n`;
      assert.equal(String(bytes), `${line}payload`);
    },
  },
  {
    name: "--write-proxy: a PROXY v1 line over IPv6",
    async run(context) {
      const { bytes, client, server } = await capture(context, ["--write-proxy"], "::1");
      assert.equal(
        String(bytes),
        `PROXY TCP6 ::1 ::1 ${client.port} ${server.port}\r\npayload`,
      );
    },
  },
  {
    name: "a client over IPv4 at a wildcard frontend is reported as IPv4",
    async run(context) {
      const { bytes, client, server } = await capture(context, ["--write-proxy"], "*");
      const line = `PROXY TCP4 ${CLIENT_V4} 127.0.0.1 ${client.port} ${server.port}\r\n`;
      assert.equal(String(bytes), `${line}payload`);
    },
  },
  ...["IPv4", "IPv6"].map((family): Behaviour => ({
    name: `--write-proxy-v2: addresses and TLS facts over ${family}`,
    async run(context) {
      const listen = family === "IPv6" ? "::1" : undefined;
      const { bytes, client, server } = await capture(context, ["--write-proxy-v2"], listen);
      const header = decodeProxyV2(bytes);
      assert.deepEqual(header.source, { host: client.host, port: client.port });
      assert.deepEqual(header.destination, server);
      assert.equal(String(bytes.subarray(header.length)), "payload");
      assertTlsFacts(context, header, { version: "TLSv1.3", cipher: client.cipher });
    },
  })),
  {
    name: "--write-proxy-v2: TLS 1.2 is reported with its cipher",
    async run(context) {
      const { bytes, client } = await capture(context, ["--write-proxy-v2"], undefined, "TLSv1.2");
      const header = decodeProxyV2(bytes);
      assertTlsFacts(context, header, { version: "TLSv1.2", cipher: client.cipher });
    },
  },
  {
    name: "the prefix is sent even if the client sends nothing",
    async run(context) {
      const { bytes } = await capture(context, ["--write-proxy"], undefined, "TLSv1.3", "");
      assert.match(String(bytes), /^PROXY TCP4 127\.0\.0\.77 .+\r\n$/);
    },
  },
];

async function capture(
  context: Context,
  args: readonly string[],
  listen?: string,
  version: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
  payload = "payload",
) {
  const backend = await context.backend();
  const frontend = await freeEndpoint(listen === "*" ? "::" : listen);
  const shown = { ...frontend, host: listen === "*" ? "*" : frontend.host };
  const stud = await context.stud(args, { backend: backend.port, frontend: shown });
  const server = { ...frontend, host: listen === "*" ? "127.0.0.1" : frontend.host };
  const client = await context.tls(server, {
    minVersion: version,
    maxVersion: version,
    servername: "Localhost",
    ...(listen === "::1" ? {} : { localAddress: CLIENT_V4 }),
  });
  const facts = { ...endpointOf(client), cipher: client.getCipher().name };
  client.end(payload);
  const socket = await backend.accept();
  const bytes = await readAll(socket);
  socket.end();
  assert.deepEqual(stud.failures(), []);
  return { bytes, client: facts, server };
}

function endpointOf(client: TLSSocket): { host: string; port: number } {
  return { host: client.localAddress!, port: client.localPort! };
}

function assertTlsFacts(
  context: Context,
  header: ReturnType<typeof decodeProxyV2>,
  expected: { version: string; cipher: string },
): void {
  if (!context.target.tlsFacts) {
    assert.equal(header.tls, undefined);
    assert.equal(header.authority, undefined);
    return;
  }
  assert.deepEqual(header.tls, { flags: 1, verify: 1, ...expected });
  assert.equal(header.authority, "Localhost");
}
