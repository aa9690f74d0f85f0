/** The hostile client's own TLS 1.3 against the library of the runtime. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { after, before, it } from "node:test";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import {
  ALERT,
  APPLICATION_DATA,
  CLOSE_NOTIFY,
  FATAL,
  HANDSHAKE,
  Tls13Client,
} from "../faults/hostile/tls13.ts";
import { create } from "../support/adapter.ts";
import type { Endpoint } from "../support/endpoints.ts";
import { until, within } from "../support/until.ts";

let server: Server;
let endpoint: Endpoint;
const peers: TLSSocket[] = [];

before(async () => {
  const { chain, key } = await create("localhost");
  server = createServer({ cert: chain, key, minVersion: "TLSv1.3" }, (peer) => {
    peers.push(peer);
    peer.on("error", () => peer.destroy()).pipe(peer);
  });
  server.on("tlsClientError", (_, peer) => peer.destroy());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  endpoint = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
});

after(() => {
  for (const peer of peers) peer.destroy();
  server.close();
});

it("records of application data are echoed", async () => {
  const client = await Tls13Client.handshake(endpoint);
  await client.echo(Buffer.from("hello"));
  await client.echo(Buffer.alloc(16_384, 7));
  const sent = createHash("sha256").update("hello").update(Buffer.alloc(16_384, 7));
  assert.equal(client.received.digest("hex"), sent.digest("hex"));
  client.send(ALERT, Buffer.from([1, CLOSE_NOTIFY]));
  await within(client.ended, "the server's end");
  client.socket.destroy();
});

it("uses new keys after its own KeyUpdate and after the server's", async () => {
  const client = await Tls13Client.handshake(endpoint);
  await client.echo(Buffer.from("one"));
  client.socket.write(client.keyUpdate(false));
  await client.echo(Buffer.from("two"));
  client.socket.write(client.keyUpdate(true));
  await client.echo(Buffer.from("three"));
  await until(() => client.keyUpdates === 1, "the server's KeyUpdate");
  assert.deepEqual(client.alerts, []);
  client.socket.destroy();
});

it("an unexpected record causes a fatal alert, which is recorded", async () => {
  const client = await Tls13Client.open(endpoint);
  client.hello();
  await client.answered();
  client.send(APPLICATION_DATA, Buffer.from("too early"));
  await within(client.ended, "the server's end");
  client.socket.destroy();
  const other = await Tls13Client.handshake(endpoint);
  await other.echo(Buffer.from("fine"));
  other.send(HANDSHAKE, Buffer.from([99, 0, 0, 0]));
  await within(other.ended, "the server's end");
  assert.equal(other.alerts[0]?.[0], FATAL);
  other.socket.destroy();
});
