/** Where ticket keys come from, and for how long each is read. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../src/base/errors.ts";
import { Tickets } from "../../src/tickets/tickets.ts";
import { FleetKeys } from "../../src/tickets/fleet_keys.ts";
import { LocalKeys } from "../../src/tickets/local_keys.ts";
import { policyOf } from "../../src/runtime/ticket_policy.ts";
import { randomSecret, type TicketRing } from "../../src/tickets/ring.ts";
import { readTicketSecret } from "../../src/tickets/secret_file.ts";
import { TicketKeys } from "../../src/tickets/ticket_keys.ts";
import { configuration } from "../support/certificate_files.ts";
import { temporaryDirectory } from "../support/system.ts";

const IV = randomBytes(16);
const PERIOD = 100;
type Ticket = ReturnType<TicketKeys["answer"]>;

test("a ticket is read by the keys that made it, and by no other policy's", () => {
  const keys = new TicketKeys({ secrets: [randomSecret(), randomSecret()], current: 1 });
  const ticket = make(keys);
  const [result, hmac, aes, name, iv] = keys.answer("policy", ticket[3], IV, false);
  assert.equal(result, 1);
  assert.deepEqual([hmac, aes, name], ticket.slice(1, 4));
  assert.deepEqual(iv, IV);
  assert.equal(keys.answer("another", ticket[3], IV, false)[0], 0);
  assert.notDeepEqual(make(keys, "another")[3], ticket[3]);
});

test("each ticket has its own initialization vector", () => {
  const keys = new TicketKeys({ secrets: [randomSecret()], current: 0 });
  const vectors = Array.from({ length: 600 }, () => make(keys)[4].toString("hex"));
  assert.equal(new Set(vectors).size, vectors.length);
});

test("every answer has the five parts without which Node aborts", () => {
  const keys = new TicketKeys({ secrets: [randomSecret()], current: 0 });
  const answers = [make(keys), keys.answer("p", make(keys)[3], IV, false)];
  for (const answer of [...answers, keys.answer("policy", randomBytes(16), IV, false)]) {
    assert.deepEqual(answer.slice(1).map((part) => (part as Buffer).length), [16, 16, 16, 16]);
  }
});

test("each way to verify clients is a separate policy", () => {
  const verify = { mode: "required", ca: "a", crl: "" } as const;
  const all = [
    undefined,
    verify,
    { ...verify, mode: "optional" } as const,
    { ...verify, ca: "b" },
    { ...verify, crl: "c" },
  ].map(policyOf);
  assert.equal(new Set(all).size, all.length);
  assert.equal(policyOf({ ...verify }), all[1]);
});

test("a key makes tickets for its period, and every ticket is read for at least a period", () => {
  const clock = { now: 1000 };
  const local = new LocalKeys(PERIOD, () => clock.now);
  const first = current(local.ring);
  clock.now += PERIOD - 1;
  assert.equal(local.check(), false);
  const next = local.ring.secrets[local.ring.current + 1]!;
  clock.now += 1;
  assert.equal(local.check(), true);
  assert.equal(current(local.ring), next, "the next key was read before it made tickets");
  assert.equal(local.ring.secrets.length, 3);
  clock.now += PERIOD - 1;
  assert.equal(local.check(), false);
  assert.ok(local.ring.secrets.includes(first));
  clock.now += 1;
  assert.equal(local.check(), true);
  assert.ok(!local.ring.secrets.includes(first));
});

test("after a long suspension of the machine no earlier ticket is read", () => {
  const clock = { now: 0 };
  const local = new LocalKeys(PERIOD, () => clock.now);
  local.check();
  const before = local.ring.secrets;
  clock.now += 50 * PERIOD;
  assert.equal(local.check(), true);
  assert.deepEqual(local.ring.secrets.filter((secret) => before.includes(secret)), []);
  assert.equal(local.check(), false);
});

test("a successor continues with the keys and their times", () => {
  const clock = { now: 0 };
  const local = new LocalKeys(PERIOD, () => clock.now);
  clock.now += PERIOD - 1;
  const successor = new LocalKeys(PERIOD, () => clock.now, local.state);
  assert.deepEqual(successor.ring, local.ring);
  clock.now += 1;
  assert.equal(successor.check(), true);
});

test("machines with one secret have the same keys, and others with another", () => {
  const [secret, now] = [randomBytes(32), () => 1_000_000];
  const ring = new FleetKeys(secret, PERIOD, now).ring;
  assert.deepEqual(new FleetKeys(secret, PERIOD, now).ring, ring);
  for (
    const other of [new FleetKeys(randomBytes(32), PERIOD, now), new FleetKeys(secret, 50, now)]
  ) {
    assert.deepEqual(other.ring.secrets.filter((each) => ring.secrets.includes(each)), []);
  }
});

test("the derivation of a fleet's keys has not changed", () => {
  // HKDF-SHA-256 as in docs/sessions.md, so that versions can be mixed.
  const fleet = new FleetKeys(
    new TextEncoder().encode("0123456789abcdef0123456789abcdef"),
    43_200,
    () => 0,
  );
  const keys = new TicketKeys(fleet.ring);
  assert.equal(current(fleet.ring), "2QWZG9E9zbk1Io5zRtiJVJDs30B2PtrSVtGfc9/mncI=");
  assert.equal(
    make(keys, policyOf(undefined))[3].toString("hex"),
    "784ee830aa90d23a552eb564760c8a29",
  );
});

test("clocks may be a slot apart, either way, for as long as a ticket lives", () => {
  const secret = randomBytes(32);
  const at = (now: number) => new FleetKeys(secret, PERIOD, () => now).ring;
  for (const made of [0, 1, 50, PERIOD - 1].map((into) => 1_000_000 + into)) {
    for (const age of [0, 1, PERIOD / 2, PERIOD]) {
      for (const skew of [-PERIOD, -1, 0, 1, PERIOD]) {
        assert.ok(
          at(made + age + skew).secrets.includes(current(at(made))),
          `made ${made}, ${age} s old, clock ${skew} s apart`,
        );
      }
    }
  }
  assert.ok(!at(1_000_000 + 3 * PERIOD).secrets.includes(current(at(1_000_000))));
});

test("a new secret makes tickets at once, and the old one is read for a rotation", () => {
  const { tickets, clock, changes } = tellingTickets(randomBytes(32));
  const before = current(tickets.ring);
  tickets.use(plan(randomBytes(32)));
  assert.notEqual(current(tickets.ring), before);
  assert.ok(tickets.ring.secrets.includes(before));
  assert.deepEqual(changes, [tickets.ring]);
  clock.now += PERIOD - 1;
  tickets.check();
  assert.ok(tickets.ring.secrets.includes(before));
  clock.now += 1;
  tickets.check();
  assert.ok(!tickets.ring.secrets.includes(before));
  assert.deepEqual(changes.at(-1), tickets.ring);
});

test("a plan that changes nothing about keys changes none", () => {
  const secret = randomBytes(32);
  const { tickets, changes } = tellingTickets(secret);
  tickets.use(plan(Uint8Array.from(secret)));
  assert.deepEqual(changes, []);
});

test("what is still read goes to a successor as well", () => {
  const { tickets, clock } = tellingTickets(undefined);
  const before = current(tickets.ring);
  tickets.use(plan(undefined, 2 * PERIOD));
  const successor = new Tickets(
    plan(undefined, 2 * PERIOD),
    () => {},
    () => clock.now,
    tickets.state,
  );
  assert.deepEqual(successor.ring, tickets.ring);
  assert.ok(successor.ring.secrets.includes(before));
});

test("a secret is all bytes of its file except a final line break", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "secret");
  const text = randomSecret();
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  assert.deepEqual(Buffer.from(readTicketSecret(path)).toString(), text);
});

test("a secret that is invalid or readable for others is refused with a remedy", () => {
  const directory = temporaryDirectory();
  const file = (name: string, content: string | Uint8Array, mode = 0o600) => {
    const path = join(directory, name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  const link = join(directory, "link");
  symlinkSync(file("readable", randomSecret(), 0o640), link);
  const cases: [string, RegExp][] = [
    [file("short", randomBytes(31)), /: 31 bytes are too few, 32 are needed; make one with/],
    [file("zeros", new Uint8Array(64)), /: it can be guessed; make one with: stud --new-ticket/],
    [file("long", randomBytes(5000)), /: it is larger than 4096 bytes;/],
    [file("group", randomSecret(), 0o640), /: others can read it; restrict it with: chmod 600 /],
    [file("world", randomSecret(), 0o604), /: others can read it/],
    [link, /: others can read it/],
    [directory, /: it is a directory; specify a file in it/],
  ];
  for (const [path, message] of cases) {
    assert.throws(() => readTicketSecret(path), (error: unknown) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, message);
      return error.message.startsWith(`--ticket-secret-file: ${path}: `);
    });
  }
  // What is no file may be the secret itself.
  const reason =
    `it does not exist in ${directory}; give the path of a file with a secret, not its`;
  assert.throws(() => readTicketSecret(join(directory, "hunter2")), {
    message: `--ticket-secret-file: ${reason} contents`,
  });
});

function make(keys: TicketKeys, policy = "policy"): Ticket {
  return keys.answer(policy, Buffer.alloc(16), Buffer.alloc(16), true);
}

function current({ secrets, current }: TicketRing): string {
  return secrets[current]!;
}

function plan(secret: Uint8Array | undefined, ticketRotation = PERIOD) {
  const sessions = configuration().sessions;
  return {
    config: { sessions: { ...sessions, ticketRotation } },
    ...(secret ? { ticketSecret: secret } : {}),
  };
}

function tellingTickets(secret: Uint8Array | undefined) {
  const clock = { now: 0 };
  const changes: TicketRing[] = [];
  const tickets = new Tickets(plan(secret), (ring) => changes.push(ring), () => clock.now);
  return { tickets, clock, changes };
}

test("the age of the key that makes tickets begins anew with each rotation", () => {
  let now = 1000;
  const local = new LocalKeys(PERIOD, () => now);
  now += PERIOD - 1;
  local.check();
  assert.equal(local.age, PERIOD - 1);
  now += 3;
  local.check();
  assert.ok(local.age < 3);
  const fleet = new FleetKeys(randomBytes(32), PERIOD, () => now);
  now = 12 * PERIOD + 7;
  fleet.check();
  assert.equal(fleet.age, 7);
});
