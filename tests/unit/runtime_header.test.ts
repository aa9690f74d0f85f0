/**
 * Listeners whose clients send plain bytes before TLS: the contract of src/runtime/, run
 * against the runtime's adapter.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import type { VerifySettings } from "../../src/runtime/tls.ts";
import type { Capabilities } from "../../src/runtime/capabilities.ts";
import {
  answering,
  certificates,
  collect,
  digest,
  pause,
  type RecorderHooks,
  recorders,
  sClient,
  settingsWith,
  settled,
  text,
  tlsClient,
  until,
  visit,
} from "../support/adapter.ts";
import { Authority } from "../support/authority.ts";
import { behindHeader, HEADER, type Pace, plainClient, serve } from "../support/header.ts";

const { capabilities, createTlsContext }: Runtime = runtime;
const limit = { timeout: 60_000, skip: !capabilities.headerFirst };
const needs = (capability: keyof Capabilities) => ({
  ...limit,
  skip: limit.skip || !capabilities[capability],
});
const MiB = 1024 * 1024;

const authority = new Authority("clients");
const good = authority.issue("good");

const paces: readonly Pace[] = ["header alone", "header with ClientHello", "byte by byte"];

for (const pace of paces) {
  test(`${pace}: relays both ways after the handshake`, limit, async () => {
    const { port, handlers, stop } = serve({}, echoing());
    const payload = randomBytes(pace === "byte by byte" ? 2_000 : 2 * MiB);
    const client = await tlsClient(await behindHeader(port, pace));
    const answer = digest(client);
    client.end(payload);
    assert.equal(await answer, createHash("sha256").update(payload).digest("hex"));
    await until(() => handlers[0]!.closes === 1, "closed");
    assert.equal(handlers[0]!.failure, undefined);
    assert.equal(handlers[0]!.header, HEADER);
    await stop();
  });

  test(`${pace}: serves by name and ALPN`, limit, async () => {
    const { port, handlers, stop } = serve({ ...byName(), alpn: ["http/1.1"] });
    const front = await behindHeader(port, pace);
    const named = await visit(front, "-servername", "b.test", "-alpn", "http/1.1");
    assert.match(named, /subject=.*b\.test[^]*ALPN protocol: http\/1\.1/);
    assert.match(await visit(front, "-noservername"), /subject=.*a\.test/);
    assert.match(await visit(front, "-alpn", "other"), /alert (no application|number 120)/);
    await until(() => handlers[2]!.closes === 1, "closed");
    assert.ok(handlers[2]!.failure);
    assert.deepEqual(handlers.map(({ opens }) => opens), [1, 1, 0]);
    await stop();
  });

  test(`${pace}: an unknown name gets the alert`, needs("sniAbort"), async () => {
    const select = (serverName: string) => serverName === "" ? 0 : undefined;
    const { port, handlers, stop } = serve({ choice: true, select });
    const front = await behindHeader(port, pace);
    assert.match(await visit(front, "-servername", "b.test"), /alert (unrecognized|number 112)/);
    await until(() => handlers[0]!.closes === 1, "closed");
    assert.equal(handlers[0]!.opens, 0);
    assert.match(handlers[0]!.failure!.message, /unrecognized server name/);
    await stop();
  });

  test(`${pace}: requests a certificate by name`, needs("verifyClients"), async () => {
    const { port, handlers, stop } = serve(byName({ mode: "required", ca: authority.ca, crl: "" }));
    const front = await behindHeader(port, pace);
    const name = ["-servername", "b.test"];
    assert.match(await visit(front, ...name, "-cert", good.file, "-key", good.file), /GOT/);
    assert.deepEqual(Buffer.from(handlers[0]!.facts!.peer!.der), Buffer.from(good.der));
    assert.match(await visit(front, ...name), /alert certificate required/);
    assert.match(await visit(front, "-servername", "a.test"), /GOT/);
    assert.equal(handlers[2]!.facts!.peer, undefined);
    await stop();
  });

  test(`${pace}: garbage instead of a handshake is a failure`, limit, async () => {
    const { port, handlers, stop } = serve({});
    const http = await plainClient(await behindHeader(port, pace));
    http.write("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    await until(() => handlers[0]?.closes === 1, "closed");
    assert.equal(handlers[0]!.failure!.fault, "not-tls");
    const { received } = handlers[0]!.failure!;
    if (pace !== "byte by byte") assert.match(String(Buffer.from(received!)), /^GET \/ HTTP/);
    else assert.doesNotMatch(String(Buffer.from(received ?? [])), /^[^G]/);
    const garbage = await plainClient(await behindHeader(port, pace));
    garbage.write(Buffer.alloc(600, 0x80));
    await until(() => handlers[1]?.closes === 1, "closed");
    assert.ok(handlers[1]!.failure);
    assert.deepEqual(handlers.map(({ opens }) => opens), [0, 0]);
    http.destroy();
    garbage.destroy();
    await stop();
  });
}

for (
  const [what, sent] of [
    ["before its header", ""],
    ["in its header", "HEAD"],
    ["after its header", HEADER],
    ["in its ClientHello", `${HEADER}\x16\x03\x01`],
  ] as const
) {
  for (const end of ["FIN", "RST"] as const) {
    test(`a client that leaves ${what} is a failure (${end})`, limit, async () => {
      const { port, handlers, stop } = serve({});
      const client = await plainClient(port);
      if (sent !== "") client.write(sent);
      await until(() => handlers[0], "accepted");
      await until(
        () => handlers[0]!.header.length === Math.min(sent.length, HEADER.length),
        "read",
      );
      if (end === "FIN") client.end();
      else client.resetAndDestroy();
      await until(() => handlers[0]!.closes === 1, "closed");
      assert.equal(handlers[0]!.opens, 0);
      assert.equal(handlers[0]!.failure?.code, "ECONNRESET");
      client.destroy();
      await stop();
    });
  }
}

for (const giveUp of ["close", "reset"] as const) {
  for (const sent of ["HEAD", HEADER, `${HEADER}\x16\x03\x01`]) {
    test(`${giveUp} after ${JSON.stringify(sent)} frees the descriptor`, limit, async () => {
      const { port, handlers, stop } = serve({});
      const before = descriptors();
      const client = await plainClient(port);
      client.write(sent);
      const headerLength = Math.min(sent.length, HEADER.length);
      await until(() => handlers[0]?.header.length === headerLength, "read");
      await pause(20);
      handlers[0]!.stream[giveUp]();
      await until(() => handlers[0]!.closes === 1, "closed");
      assert.equal(handlers[0]!.failure, undefined);
      client.destroy();
      await until(() => descriptors() <= before, "descriptors freed");
      await stop();
    });
  }
}

test("startTls after the end has no effect", limit, async () => {
  const { port, handlers, stop } = serve({}, {
    header(stream) {
      stream.reset();
      stream.startTls(text("early"));
    },
  });
  const client = await plainClient(port);
  client.write("!");
  await until(() => handlers[0]?.closes === 1, "closed");
  handlers[0]!.stream.startTls(new Uint8Array(0));
  assert.equal(handlers[0]!.failure, undefined);
  client.destroy();
  await stop();
});

test("a stream's addresses are reported before TLS too, without a session", limit, async () => {
  const { port, handlers, stop } = serve({});
  const client = await plainClient(port);
  client.write("HEAD");
  await until(() => handlers[0]?.header === "HEAD", "read");
  const { remote, local } = handlers[0]!.stream;
  assert.deepEqual(remote, { family: 4, address: "127.0.0.1", port: client.localPort });
  assert.deepEqual(local, { family: 4, address: "127.0.0.1", port });
  assert.deepEqual(handlers[0]!.stream.tls(), {});
  client.destroy();
  await until(() => handlers[0]!.closes === 1, "closed");
  await stop();
});

test("a client can still send after our FIN", limit, async () => {
  const { port, handlers, stop } = serve({});
  const client = await tlsClient(await behindHeader(port, "header alone"));
  assert.equal(await collect(client), "GOT");
  client.end("second");
  await until(() => handlers[0]!.closes === 1, "closed");
  assert.equal(handlers[0]!.bytes, 6);
  assert.equal(handlers[0]!.failure, undefined);
  await stop();
});

test("a paused stream gets no more bytes", limit, async () => {
  const { port, handlers, stop } = serve({}, {
    received: (stream) => stream.pause(),
    ended: (stream) => stream.finish(),
  });
  const client = await tlsClient(await behindHeader(port, "header alone"));
  client.resume();
  client.end(randomBytes(16 * MiB));
  await until(() => handlers[0]!.bytes > 0, "the first chunk");
  const held = await settled(() => handlers[0]!.bytes);
  assert.ok(held <= MiB, `${held} bytes came through a pause`);
  handlers[0]!.on({ received: () => {} });
  handlers[0]!.stream.resume();
  await until(() => handlers[0]!.closes === 1, "closed");
  assert.equal(handlers[0]!.bytes, 16 * MiB);
  await stop();
});

test("a stream that was paused at its header continues after resume", limit, async () => {
  const { port, handlers, stop } = serve({}, {
    header(stream, bytes) {
      stream.pause();
      stream.startTls(Uint8Array.from(bytes.subarray(HEADER.length)));
      setTimeout(() => stream.resume(), 50);
    },
  });
  assert.match(await visit(await behindHeader(port, "header with ClientHello")), /GOT/);
  await until(() => handlers[0]!.closes === 1, "closed");
  assert.equal(handlers[0]!.failure, undefined);
  await stop();
});

test("write to a slow client returns false, then comes writable", limit, async () => {
  const chunk = randomBytes(MiB);
  const written: boolean[] = [];
  const { port, handlers, stop } = serve({}, {
    opened(stream) {
      for (let i = 0; i < 16; i++) written.push(stream.write(chunk));
    },
    writable: (stream) => stream.finish(),
  });
  const client = await tlsClient(await behindHeader(port, "header alone"));
  await until(() => handlers[0]!.opens === 1, "opened");
  assert.ok(written.includes(false));
  const hash = createHash("sha256");
  for (let i = 0; i < 16; i++) hash.update(chunk);
  assert.equal(await digest(client), hash.digest("hex"));
  assert.equal(handlers[0]!.writables, 1);
  client.end();
  await until(() => handlers[0]!.closes === 1, "closed");
  assert.equal(handlers[0]!.failure, undefined);
  await stop();
});

test("close ends without close_notify, reset with RST", limit, async () => {
  for (const [giveUp, reason] of [["close", /unexpected eof/], ["reset", /errno=104/]] as const) {
    const { port, handlers, stop } = serve({}, { opened: () => {} });
    const client = sClient(await behindHeader(port, "header alone"));
    const said = collect(client.stderr!);
    await until(() => handlers[0]?.opens === 1, "opened");
    await pause(20);
    handlers[0]!.stream[giveUp]();
    assert.match(await said, reason);
    await until(() => handlers[0]!.closes === 1, "closed");
    assert.equal(handlers[0]!.failure, undefined);
    await stop();
  }
});

for (const version of ["-tls1_2", "-tls1_3"]) {
  test(`${version}: sessions resume, also after an update`, needs("swapCertificates"), async () => {
    const { port, listener, stop } = serve(byName());
    const front = await behindHeader(port, "header with ClientHello");
    const session = join(authority.directory, "session");
    for (const name of ["a.test", "b.test"]) {
      const options = [version, "-servername", name];
      assert.match(await visit(front, ...options, "-sess_out", session), /^New/m);
      listener.update(createTlsContext(settingsWith(byName())));
      const said = await visit(front, ...options, "-sess_in", session);
      assert.match(said, /^Reused/m);
    }
    listener.update(createTlsContext(settingsWith({
      identity: () => ({ certificates: [certificates[1]!] }),
    })));
    assert.match(await visit(front, version, "-servername", "a.test"), /subject=.*b\.test/);
    await stop();
  });
}

test("every stream closed once, and its events came in order", limit, () => {
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

/** `b.test` has its own certificate, and may request one from clients. */
function byName(verify?: VerifySettings): Partial<TlsSettings> {
  return {
    choice: true,
    select: (serverName) => serverName === "b.test" ? 1 : 0,
    identity: (number) => ({
      certificates: [certificates[number]!],
      ...(number === 1 && verify ? { verify } : {}),
    }),
  };
}

/** Echoes bytes, and half-closes when the client does. */
function echoing(): RecorderHooks {
  return {
    ...answering,
    received(stream, bytes) {
      if (!stream.write(bytes.slice())) stream.pause();
    },
    writable: (stream) => stream.resume(),
  };
}

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
