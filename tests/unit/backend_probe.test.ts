import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { join } from "node:path";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { once } from "node:events";
import * as runtime from "#runtime";
import { BackendProbe } from "../../src/master/backend/backend_probe.ts";
import type { Endpoint } from "../../src/os/endpoint.ts";
import { HandClock } from "../support/hand_clock.ts";

function probe(t: TestContext) {
  const clock = new HandClock();
  const backend = new BackendProbe(runtime.libc, clock);
  t.after(() => backend.use(undefined));
  return { clock, backend };
}

async function listening(t: TestContext, where: { port?: number; path?: string } = {}) {
  const server = createServer((socket) => socket.destroy());
  if (where.path === undefined) server.listen(where.port ?? 0, "127.0.0.1");
  else server.listen(where.path);
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  const port = typeof address === "object" ? address!.port : 0;
  return { server, endpoint: { family: 4, address: "127.0.0.1", port } as const };
}

test("a backend that listens is up, and is found to be down once it does not", async (t) => {
  const { server, endpoint } = await listening(t);
  const { backend, clock } = probe(t);
  assert.equal(backend.result, undefined);
  backend.use(endpoint);
  clock.advance(50);
  assert.deepEqual(backend.result, { isUp: true });
  server.close();
  await once(server, "close");
  clock.advance(2500);
  assert.deepEqual(backend.result, { isUp: false, cause: "Connection refused" });
  await listening(t, { port: endpoint.port });
  clock.advance(2500);
  assert.deepEqual(backend.result, { isUp: true });
});

test("a Unix socket is probed too", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "probe-"));
  const path = join(directory, "backend");
  const { backend, clock } = probe(t);
  backend.use({ family: "unix", path });
  assert.deepEqual(backend.result, { isUp: false, cause: "No such file or directory" });
  await listening(t, { path });
  clock.advance(2500);
  assert.deepEqual(backend.result, { isUp: true });
});

test("a backend that does not answer is down after three seconds", (t) => {
  const { clock } = probe(t);
  const closed: number[] = [];
  const silent = {
    ...{ socket: () => 77, connect: () => -1, errno: () => 115, getsockopt: () => 0 },
    ...{ getpeername: () => -1, close: (fd: number) => closed.push(fd) },
  };
  const backend = new BackendProbe(silent as unknown as typeof runtime.libc, clock);
  backend.use({ family: 4, address: "192.0.2.1", port: 80 });
  clock.advance(2900);
  assert.equal(backend.result, undefined);
  clock.advance(500);
  assert.deepEqual(backend.result, { isUp: false, cause: "it does not answer within 3 s" });
  assert.deepEqual(closed, [77]);
});

test("another backend is unknown at first, and the same one stays known", async (t) => {
  const { endpoint } = await listening(t);
  const { backend, clock } = probe(t);
  backend.use(endpoint);
  clock.advance(50);
  backend.use({ ...endpoint });
  assert.deepEqual(backend.result, { isUp: true });
  const other: Endpoint = { family: "unix", path: "/nowhere" };
  backend.use(other);
  assert.equal(backend.result?.isUp, false);
  backend.use(undefined);
  clock.advance(10_000);
  assert.equal(backend.result, undefined);
});
