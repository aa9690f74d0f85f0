import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ask } from "../../src/commands/client.ts";
import { askStatus, reloadStatus } from "../../src/commands/document.ts";
import type { Service } from "../../src/commands/service.ts";
import { SubcommandError } from "../../src/options/subcommand.ts";
import type { ReloadStatus } from "../../src/status/status.ts";
import { FakeAdmin } from "../support/fake_admin.ts";
import { statusDocument } from "../support/small_status.ts";

const admin = await FakeAdmin.start();
const directory = mkdtempSync(join(tmpdir(), "stud-client-"));
after(async () => {
  await admin.close();
  rmSync(directory, { recursive: true });
});
const service: Service = { address: { path: admin.path }, origin: "--admin" };

/** The one line with which a request fails. */
async function fault(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SubcommandError, String(error));
    assert.equal(error.problems.length, 1);
    return error.problems[0]!;
  }
  throw new assert.AssertionError({ message: "no error" });
}

/** Answers every request in this way, while `action` runs. */
async function answering<T>(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  action: () => Promise<T>,
): Promise<T> {
  admin.handler = handler;
  try {
    return await action();
  } finally {
    admin.handler = undefined;
  }
}

function sends(
  code: number,
  body: unknown,
): (_: IncomingMessage, response: ServerResponse) => void {
  return (_, response) => {
    response.writeHead(code);
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

test("the status comes from the endpoint, with the token if there is one", async () => {
  assert.deepEqual(await askStatus(service), statusDocument());
  await askStatus({ ...service, token: "s3cret" });
  assert.deepEqual(admin.requests, [
    { line: "GET /status", authorization: undefined },
    { line: "GET /status", authorization: "Bearer s3cret" },
  ]);
});

test("an answer that is no status is one line that says what to do", async () => {
  const where = `unix:${admin.path}: `;
  const foreign = "what answers is not the admin endpoint of a stud; check the address";
  const good = statusDocument();
  const cases: [code: number, body: unknown, problem: string][] = [
    [200, "<html>", foreign],
    [200, "", foreign],
    [200, "null", foreign],
    [200, { version: 1 }, foreign],
    [200, { ...good, workers: [{}] }, foreign],
    [200, { ...good, ready: { isReady: true, reason: 3 } }, foreign],
    [200, { ...good, metrics: {} }, foreign],
    [
      200,
      { ...good, metrics: [{ name: "x", type: "histogram", samples: [{ labels: {} }] }] },
      foreign,
    ],
    [
      200,
      { ...good, version: 2 },
      "it sends version 2 of the status document, not 1; use the stud command of the same version",
    ],
    [401, {}, "it requires a token; give --admin-token-file"],
    [503, { error: "the master\x1b[2J does not answer" }, "the master\\u{1b}[2J does not answer"],
    [
      404,
      "not found",
      "it answers with HTTP status 404; check that this is the admin endpoint of a stud",
    ],
    [302, {}, "it answers with HTTP status 302; check that this is the admin endpoint of a stud"],
  ];
  for (const [code, body, problem] of cases) {
    const found = await answering(sends(code, body), () => fault(askStatus(service)));
    assert.equal(found, where + problem);
  }
  const wrong = () => fault(askStatus({ ...service, token: "s3cret" }));
  assert.equal(
    await answering(sends(401, {}), wrong),
    `${where}it does not accept the token; check --admin-token-file`,
  );
});

test("members that are new do not matter, and a reload's result counts whatever its code", async () => {
  const more = { ...statusDocument(), news: 1 };
  assert.deepEqual(await answering(sends(200, more), () => askStatus(service)), more);
  const last: ReloadStatus = {
    result: "failed",
    cause: "a request",
    finishedAt: "2026-11-30T12:00:00.000Z",
    seconds: 1,
    problems: ["x"],
  };
  assert.deepEqual(reloadStatus(service, { status: 500, body: JSON.stringify(last) }), last);
  for (const status of [200, 404, 500]) {
    assert.throws(() => reloadStatus(service, { status, body: "{}" }), SubcommandError);
  }
});

test("an address where nobody answers is one line that says what to do", async () => {
  const file = join(directory, "file");
  const missing = join(directory, "missing");
  writeFileSync(file, "");
  const question = { method: "GET", path: "/status", limitMs: 40_000 } as const;
  const at = (address: Service["address"] & object) =>
    fault(ask({ address, origin: "" }, question));
  assert.equal(
    await at({ path: missing }),
    `unix:${missing}: it does not exist; is stud running with --admin=${missing}?`,
  );
  assert.equal(await at({ path: file }), `unix:${file}: this is not a socket; check the path`);
  assert.match(
    await at({ path: "@stud-nobody" }),
    /^unix:@stud-nobody: Connection refused; is stud/,
  );
  const closed = createServer();
  const port = await listening(closed);
  await new Promise((resolve) => closed.close(resolve));
  assert.equal(
    await at({ host: "127.0.0.1", port }),
    `127.0.0.1:${port}: Connection refused; is stud running?`,
  );
  assert.equal(
    await at({ host: "nobody.invalid", port: 1 }),
    "nobody.invalid:1: this host name cannot be resolved; check the address",
  );
  assert.match(
    await fault(ask({ origin: "/run/stud.pid", pid: 1 }, question)),
    /^\/run\/stud\.pid: this stud has no admin endpoint; start it with --admin/,
  );
});

test("a socket without permission is one line", {
  skip: process.getuid!() === 0 && "root may everything",
}, async () => {
  chmodSync(admin.path, 0);
  try {
    assert.match(await fault(askStatus(service)), /: Permission denied; run this as root or as a/);
  } finally {
    chmodSync(admin.path, 0o600);
  }
});

test("what speaks another protocol, or says nothing, is one line in time", async () => {
  const question = { method: "GET", path: "/status", limitMs: 300 } as const;
  const noHttp = /: what answers does not speak HTTP, or it closed the connection; check that this/;
  const cases: [behaviour: (socket: Socket) => void, problem: RegExp][] = [
    [(socket) => socket.end("SSH-2.0-OpenSSH\r\n"), noHttp],
    [(socket) => socket.destroy(), noHttp],
    [() => {}, /: no answer within 0\.3 s; try again/],
    [(socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), /within 0\.3 s/],
    [(socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(100_000)}`), noHttp],
  ];
  for (const [behaviour, problem] of cases) {
    const server = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => behaviour(socket));
    });
    const port = await listening(server);
    const found = ask({ address: { host: "127.0.0.1", port }, origin: "" }, question);
    assert.match(await fault(found), problem);
    server.close();
  }
});

test("an endless answer is cut", async () => {
  const endless = (_: IncomingMessage, response: ServerResponse) => {
    const chunk = Buffer.alloc(1024 * 1024, "x");
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", more).on("error", () => {});
    more();
  };
  const question = { method: "GET", path: "/status", limitMs: 40_000 } as const;
  const found = await answering(endless, () => fault(ask(service, question)));
  assert.match(found, /: the answer has more than \d+ bytes/);
});

function listening(server: ReturnType<typeof createServer>): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  );
}
