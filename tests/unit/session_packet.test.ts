/** Packets between machines, and which of them are refused. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  isFrom,
  MAX_PACKET,
  type PackedSession,
  PacketOpener,
  PacketSealer,
  peersKey,
} from "../../src/sessions/packet.ts";
import { Rate } from "../../src/sessions/rate.ts";
import { ReplayWindow } from "../../src/sessions/replay_window.ts";
import { HandClock } from "../support/hand_clock.ts";

const SLOT = 300;
const START = 1_000_000 * SLOT;
const key = peersKey(randomBytes(32));
const now = () => START;

function session(length = 100): PackedSession {
  return {
    policy: randomBytes(32),
    id: randomBytes(32),
    session: randomBytes(length),
    seconds: 7200,
  };
}

/** In the form in which they can be compared. */
function plain(opened: ReturnType<PacketOpener["open"]>) {
  if (typeof opened === "string") return opened;
  const { policy, id, session, seconds } = opened;
  return [policy, id, session].map((bytes) => Buffer.from(bytes).toString("hex")).concat(
    `${seconds}`,
  );
}

function seal(sealer: PacketSealer, given = session()): Uint8Array {
  return sealer.seal(given)!;
}

test("a packet sealed by one machine opens on another, once", () => {
  const [sealer, opener] = [new PacketSealer(key, now), new PacketOpener(key, now)];
  for (const given of [session(1), session(), { ...session(1290), id: randomBytes(1) }]) {
    const packet = seal(sealer, given);
    // As the system hands it over: a part of a larger buffer.
    const within = Buffer.concat([Buffer.alloc(3), packet]).subarray(3);
    assert.deepEqual(plain(opener.open(within)), plain(given));
    assert.equal(opener.open(within), "replayed");
  }
  assert.equal(opener.size, 1);
});

test("the content of a packet cannot be read, and no two packets are alike", () => {
  const sealer = new PacketSealer(key, now);
  const given = session();
  const packets = [seal(sealer, given), seal(sealer, given)].map((each) => Buffer.from(each));
  for (const packet of packets) {
    for (const part of [given.policy, given.id, given.session]) {
      assert.equal(packet.indexOf(part), -1);
    }
  }
  const [first, second] = packets.map((packet) => packet.subarray(29).toString("hex"));
  assert.notEqual(first, second);
});

test("a session too large for a packet is not sent", () => {
  const sealer = new PacketSealer(key, now);
  const room = MAX_PACKET - 29 - 39 - 32 - 16;
  assert.equal(seal(sealer, session(room)).length, MAX_PACKET);
  assert.equal(sealer.seal(session(room + 1)), undefined);
});

test("a packet with any bit changed, or cut anywhere, is refused and not remembered", () => {
  const opener = new PacketOpener(key, now);
  const packet = seal(new PacketSealer(key, now));
  const refused = (bytes: Uint8Array, what: string) =>
    assert.equal(typeof opener.open(bytes), "string", what);
  for (let bit = 0; bit < packet.length * 8; bit++) {
    const changed = Uint8Array.from(packet);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    refused(changed, `bit ${bit}`);
  }
  for (let length = 0; length < packet.length; length++) {
    refused(packet.subarray(0, length), `${length} bytes`);
  }
  refused(Buffer.concat([packet, Buffer.of(0)]), "a byte more");
  assert.equal(opener.size, 0);
  assert.equal(typeof opener.open(packet), "object");
});

test("noise of any length is refused", () => {
  const opener = new PacketOpener(key, now);
  for (let length = 0; length < 1500; length++) {
    const noise = randomBytes(length);
    assert.equal(typeof opener.open(noise), "string");
    if (length > 0) noise[0] = 1;
    assert.equal(typeof opener.open(noise), "string");
  }
  assert.equal(opener.open(new Uint8Array(MAX_PACKET + 1)), "size");
  assert.equal(opener.size, 0);
});

test("packets with another secret or version are refused", () => {
  const packet = seal(new PacketSealer(key, now));
  assert.equal(new PacketOpener(peersKey(randomBytes(32)), now).open(packet), "unverified");
  const newer = Uint8Array.from(packet);
  newer[0] = 2;
  assert.equal(new PacketOpener(key, now).open(newer), "version");
});

test("garbage is refused even if sealed with the secret", () => {
  const cases: [string, Partial<PackedSession>][] = [
    ["an empty id", { id: new Uint8Array(0), session: randomBytes(2) }],
    ["a long id", { id: randomBytes(33) }],
    ["a policy too short", { policy: randomBytes(31) }],
    ["a policy too long", { policy: randomBytes(33) }],
  ];
  for (const [what, part] of cases) {
    const packet = seal(new PacketSealer(key, now), { ...session(), ...part });
    assert.equal(new PacketOpener(key, now).open(packet), "malformed", what);
  }
});

test("clocks may be a slot apart, either way", () => {
  const at = (slots: number) => () => START + slots * SLOT;
  for (const apart of [-2, -1, 0, 1, 2]) {
    const packet = seal(new PacketSealer(key, at(apart)));
    const opened = new PacketOpener(key, now).open(packet);
    assert.equal(
      typeof opened === "string" ? opened : "taken",
      Math.abs(apart) > 1 ? "stale" : "taken",
    );
  }
});

test("a sender continues from slot to slot, and earlier packets stay refused", () => {
  let time = START;
  const [sealer, opener] = [new PacketSealer(key, () => time), new PacketOpener(key, () => time)];
  const before = seal(sealer);
  time += SLOT;
  const after = seal(sealer);
  assert.equal(typeof opener.open(after), "object");
  assert.equal(typeof opener.open(before), "object", "it was overtaken");
  assert.equal(opener.open(before), "replayed");
  time += SLOT;
  assert.equal(opener.open(before), "stale");
});

test("a packet can be late by up to a thousand others", () => {
  const [sealer, opener] = [new PacketSealer(key, now), new PacketOpener(key, now)];
  const packets = Array.from({ length: 1025 }, () => seal(sealer));
  assert.equal(typeof opener.open(packets[1024]!), "object");
  assert.equal(opener.open(packets[0]!), "replayed");
  assert.equal(typeof opener.open(packets[1]!), "object");
});

test("the table of senders is bounded, and the most recent ones stay", () => {
  const opener = new PacketOpener(key, now);
  const first = new PacketSealer(key, now);
  const once = seal(first);
  opener.open(once);
  for (let i = 0; i < 300; i++) {
    opener.open(seal(new PacketSealer(key, now)));
    opener.open(seal(first));
  }
  assert.equal(opener.size, 256);
  assert.equal(opener.open(once), "replayed");
});

test("a sender recognizes its own packets", () => {
  const sealer = new PacketSealer(key, now);
  const packet = seal(sealer);
  assert.ok(isFrom(sealer.sender, packet));
  assert.ok(!isFrom(new PacketSealer(key, now).sender, packet));
  assert.ok(!isFrom(sealer.sender, packet.subarray(0, 28)));
});

test("a packet is opened as in docs/sessions-udp.md, so that versions can be mixed", () => {
  // Made by HMAC and AES-GCM alone: RFC 5869, the bytes of the document, the 7th packet of a slot.
  const packet = Buffer.from(
    "01000102030405060708090a0b0c0d0e0f000f42400000000000000007bf847422061e2521618ce9cdf66c4891" +
      "570fef4908be1e929e0fdcee05a6c63c8216179577ac73831ce43ad632ea779058953ef882bbc372036d7580" +
      "666905ca",
    "hex",
  );
  const secret = new TextEncoder().encode("0123456789abcdef0123456789abcdef");
  const text = (words: string) => new TextEncoder().encode(words);
  assert.deepEqual(
    plain(new PacketOpener(peersKey(secret), now).open(packet)),
    plain({
      policy: new Uint8Array(32).fill(0xaa),
      id: text("id"),
      seconds: 7200,
      session: text("session"),
    }),
  );
});

test("a window accepts each number once, wherever it is", () => {
  const window = new ReplayWindow();
  const model = new Set<number>();
  let highest = -1;
  let state = 1;
  for (let i = 0; i < 20_000; i++) {
    state = Math.imul(state, 48_271) >>> 0;
    // Jumps of all sizes, forward and back.
    const step = state % 7 === 0 ? state % 3000 : state % 40;
    const number = Math.max(0, highest + (state & 0x100 ? step : -step));
    const isNew = number > highest || (number > highest - 1024 && !model.has(number));
    assert.equal(window.isNew(number), isNew, `${number} after ${highest}`);
    if (!isNew) continue;
    window.add(number);
    model.add(number);
    highest = Math.max(highest, number);
  }
  assert.ok(model.size > 5000);
});

test("a rate is the number of packets accepted per second", () => {
  const clock = new HandClock();
  const rate = new Rate(100, clock);
  const taken = () => Array.from({ length: 1000 }, () => rate.take()).filter(Boolean).length;
  assert.equal(taken(), 100);
  clock.advance(500);
  assert.equal(taken(), 50);
  clock.advance(60_000);
  assert.equal(taken(), 100, "a pause saves nothing up");
});
