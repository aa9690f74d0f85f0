import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { PERIOD, TicketSecrets } from "../../src/runtime/node/ticket_keys.ts";
import { HandClock } from "../support/hand_clock.ts";

const IV = randomBytes(16);

test("a ticket is read by the keys that made it, and by no other policy's", () => {
  const { make, read } = secrets();
  const ticket = make();
  const [verdict, hmac, aes, name, iv] = read(ticket);
  assert.equal(verdict, 1);
  assert.deepEqual([hmac, aes, name], ticket.slice(1, 4));
  assert.deepEqual(iv, IV);
  assert.equal(read(ticket, "another")[0], 0);
  assert.notDeepEqual(make("another")[3], ticket[3]);
});

test("each ticket has an initialisation vector of its own", () => {
  const { make } = secrets();
  const vectors = Array.from({ length: 600 }, () => make()[4].toString("hex"));
  assert.equal(new Set(vectors).size, vectors.length);
});

test("keys change after their time, and no ticket becomes unreadable before its own", () => {
  const { make, read, clock } = secrets();
  const first = make();
  clock.advance(PERIOD - 1);
  const last = make();
  assert.deepEqual(last[3], first[3]);
  clock.advance(1);
  assert.notDeepEqual(make()[3], first[3]);
  // It is worth a new one.
  assert.equal(read(last)[0], 2);
  clock.advance(PERIOD - 1);
  assert.equal(read(last)[0], 2);
  clock.advance(1);
  assert.equal(read(last)[0], 0);
});

test("after a long silence nothing of before is readable", () => {
  const { make, read, clock } = secrets();
  const ticket = make();
  clock.advance(2 * PERIOD);
  assert.equal(read(ticket)[0], 0);
  assert.notDeepEqual(make()[3], ticket[3]);
});

test("every answer has the five parts without which Node ends the process", () => {
  const { make, read } = secrets();
  const stranger = [1, IV, IV, randomBytes(16), IV] as const;
  for (const answer of [make(), read(make()), read(stranger)]) {
    assert.deepEqual(answer.slice(1).map((part) => (part as Buffer).length), [16, 16, 16, 16]);
  }
});

type Ticket = ReturnType<TicketSecrets["answer"]>;

function secrets() {
  const clock = new HandClock();
  const secrets = new TicketSecrets(() => clock.now());
  return {
    clock,
    make: (policy = "one") => secrets.answer(policy, Buffer.alloc(16), Buffer.alloc(16), true),
    read: ([, , , name]: Ticket, policy = "one") => secrets.answer(policy, name, IV, false),
  };
}
