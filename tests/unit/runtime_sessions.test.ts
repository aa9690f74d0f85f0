/**
 * The contract of src/runtime/ for sessions that the core stores, run against the adapter of the
 * runtime that executes this file, if it supports them. Peers are `openssl s_client` of OpenSSL 3.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { SessionStore } from "../../src/runtime/tls.ts";
import { certificates, recorders, sClient, serve, until, visit } from "../support/adapter.ts";

const kept = { timeout: 60_000, skip: !(runtime as Runtime).capabilities.sessionCache };
const directory = mkdtempSync(join(tmpdir(), "stud-sessions-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const BY_ID = ["-tls1_2", "-no_ticket"];

/** Answers when the test says so, like the master. */
class Store implements SessionStore {
  readonly stored: [policy: string, id: string, session: Uint8Array][] = [];
  readonly questions: {
    readonly policy: string;
    readonly id: string;
    answer(session: Uint8Array | undefined): void;
  }[] = [];

  store(policy: string, id: Uint8Array, session: Uint8Array): void {
    this.stored.push([policy, hex(id), Uint8Array.from(session)]);
  }

  find(policy: string, id: Uint8Array, answer: (session: Uint8Array | undefined) => void): void {
    this.questions.push({ policy, id: hex(id), answer });
  }
}

/** Answers at once with the session that was stored last. */
class QuickStore extends Store {
  override find(
    policy: string,
    id: Uint8Array,
    answer: (session: Uint8Array | undefined) => void,
  ): void {
    super.find(policy, id, answer);
    answer(this.stored.at(-1)?.[2]);
  }
}

test("a session is stored once, found by its id, and resumes", kept, async () => {
  for (const choice of [false, true]) {
    const sessions = new QuickStore();
    const frontend = serve({ sessions, choice });
    const file = join(directory, `session-${choice}`);
    const words = [...BY_ID, "-servername", "a.test"];
    assert.match(await visit(frontend.port, ...words, "-sess_out", file), /^New, TLSv1.2/m);
    assert.equal(sessions.questions.length, 0, "a client without a session asks for none");
    assert.match(await visit(frontend.port, ...words, "-sess_in", file), /^Reused, TLSv1.2/m);
    assert.equal(sessions.stored.length, 1);
    const [policy, id] = sessions.stored[0]!;
    assert.deepEqual(sessions.questions.map((each) => [each.policy, each.id]), [[policy, id]]);
    await until(() => frontend.visits.every(({ handler }) => handler.closes === 1), "closed");
    assert.deepEqual(frontend.visits.map(({ facts }) => facts?.resumed), [false, true]);
    await frontend.stop();
  }
});

test("the answer may come later, and may be empty, or not a session", kept, async () => {
  const sessions = new Store();
  const frontend = serve({ sessions });
  const file = join(directory, "session-late");
  await visit(frontend.port, ...BY_ID, "-sess_out", file);
  const session = sessions.stored[0]![2];
  const answers: [Uint8Array | undefined, RegExp][] = [
    [session, /^Reused, /m],
    [undefined, /^New, /m],
    [new Uint8Array(0), /^New, /m],
    [session.subarray(0, 50), /^New, /m],
    [new Uint8Array(100).fill(0x30), /^New, /m],
  ];
  for (const [answer, expected] of answers) {
    const said = visit(frontend.port, ...BY_ID, "-sess_in", file);
    await until(() => sessions.questions.length === 1, "the question");
    sessions.questions.pop()!.answer(answer);
    assert.match(await said, expected);
  }
  await frontend.stop();
});

test("with tickets, or TLS 1.3, no session is looked up or stored", kept, async () => {
  const sessions = new Store();
  const frontend = serve({ sessions });
  for (const words of [["-tls1_2"], ["-tls1_3"], ["-tls1_3", "-no_ticket"]]) {
    const file = join(directory, `session-${words.join("")}`);
    assert.match(await visit(frontend.port, ...words, "-sess_out", file), /^New, /m);
    await visit(frontend.port, ...words, "-sess_in", file);
  }
  assert.deepEqual([sessions.stored, sessions.questions], [[], []]);
  await frontend.stop();
  const without = serve({ sessions, tickets: false });
  await visit(without.port, "-tls1_2");
  assert.equal(sessions.stored.length, 1, "stored if we issue no tickets");
  await without.stop();
});

test("sessions under other trust settings have another policy", kept, async () => {
  const sessions = new Store();
  const verify = { mode: "optional", ca: certificates[0]!.chain, crl: "" } as const;
  for (const more of [{}, { verify }]) {
    const frontend = serve({
      sessions,
      identity: () => ({ certificates: [certificates[0]!], ...more }),
    });
    await visit(frontend.port, ...BY_ID);
    await frontend.stop();
  }
  assert.equal(new Set(sessions.stored.map(([policy]) => policy)).size, 2);
});

test("a stream that ends while it waits for an answer ends once", kept, async () => {
  const sessions = new Store();
  const frontend = serve({ sessions });
  const file = join(directory, "session-ending");
  await visit(frontend.port, ...BY_ID, "-sess_out", file);
  const session = sessions.stored[0]![2];
  const asked = async () => {
    const client = sClient(frontend.port, ...BY_ID, "-sess_in", file);
    await until(() => sessions.questions.length === 1, "the question");
    return {
      client,
      question: sessions.questions.pop()!,
      handler: frontend.visits.at(-1)!.handler,
    };
  };
  const cut = await asked();
  cut.handler.stream.reset();
  await until(() => cut.handler.closes === 1, "closed");
  cut.question.answer(session);
  const left = await asked();
  left.client.kill("SIGKILL");
  await until(() => left.client.signalCode !== null, "the client's end");
  left.question.answer(session);
  await until(() => left.handler.closes === 1, "closed");
  assert.equal(left.handler.opens, 0);
  assert.ok(left.handler.failure);
  await frontend.stop();
});

test("OpenSSL refuses what is not a ClientHello", kept, async () => {
  const sessions = new Store();
  const frontend = serve({ sessions });
  connect(frontend.port, "127.0.0.1", function (this: Socket) {
    this.on("error", () => {}).end("GET / HTTP/1.0\r\n\r\n");
  });
  await until(() => frontend.visits[0]?.handler.closes === 1, "closed");
  assert.ok(frontend.visits[0]!.handler.failure);
  assert.deepEqual(sessions.questions, []);
  await frontend.stop();
});

test("all events came in order", () => {
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
