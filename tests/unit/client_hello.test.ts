import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type ClientHello, HelloReader, readHello } from "../../src/runtime/client_hello.ts";
import { extension, hello, records, vector } from "../support/client_hello.ts";

test("the name in a whole ClientHello is found, whatever follows", () => {
  const bytes = records(hello("a.test"));
  assert.equal(nameIn(bytes), "a.test");
  assert.equal(nameIn(Buffer.concat([bytes, randomBytes(100)])), "a.test");
});

test("a ClientHello without a name has none, which an empty name is not", () => {
  assert.equal(nameIn(records(hello(undefined))), undefined);
  assert.equal(nameIn(records(hello(""))), "");
});

test("a ClientHello in many records is assembled", () => {
  for (const size of [1, 2, 3, 4, 100]) {
    assert.equal(nameIn(records(hello("a.test"), size)), "a.test", `${size} bytes each`);
  }
  // Large as with post-quantum keys.
  assert.equal(nameIn(records(hello("a.test", 5000), 1)), "a.test");
});

test("empty records between the others are ignored", () => {
  const message = hello("a.test");
  const empty = Buffer.of(22, 3, 1, 0, 0);
  const [begin, end] = [records(message.subarray(0, 7)), records(message.subarray(7))];
  assert.equal(nameIn(Buffer.concat([empty, begin, empty, end])), "a.test");
});

test("the name in a ClientHello that arrives byte by byte is found at the last byte", () => {
  for (const size of [16_384, 50, 1]) {
    const bytes = records(hello("a.test", 2000), size);
    const reader = new HelloReader();
    for (let i = 0; i < bytes.length - 1; i++) {
      assert.equal(reader.add(bytes.subarray(i, i + 1)), "incomplete");
    }
    assert.equal((reader.add(bytes.subarray(-1)) as ClientHello).serverName, "a.test");
    assert.deepEqual(new Uint8Array(reader.bytes), new Uint8Array(bytes));
  }
});

test("reading a ClientHello in pieces costs no more than its bytes", () => {
  const bytes = records(hello("a.test", 5000), 1);
  const read = () => {
    const reader = new HelloReader();
    for (let i = 0; i < bytes.length; i++) reader.add(bytes.subarray(i, i + 1));
  };
  read();
  const begin = performance.now();
  for (let i = 0; i < 10; i++) read();
  const milliseconds = (performance.now() - begin) / 10;
  // It takes 2 ms; if each piece cost another pass, it would be seconds.
  assert.ok(milliseconds < 200, `${milliseconds} ms`);
});

test("what begins as a ClientHello is incomplete until its last byte", () => {
  const bytes = records(hello("a.test", 2000), 300);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(readHello(bytes.subarray(0, length)), "incomplete");
  }
});

test("what is not a ClientHello is known at once", () => {
  for (const text of ["GET / HTTP/1.0\r\n\r\n", "\x80\x2e\x01", "\x15\x03\x01\x00\x02\x02\x00"]) {
    assert.equal(readHello(Buffer.from(text, "latin1")), "other");
  }
  const serverHello = hello("a.test");
  serverHello[0] = 2;
  assert.equal(readHello(records(serverHello)), "other");
});

test("a broken ClientHello is malformed", () => {
  const whole = hello("a.test");
  for (let length = 4; length < whole.length; length++) {
    const cut = Buffer.from(whole.subarray(0, length));
    cut.writeUIntBE(length - 4, 1, 3);
    // It may end before its extensions.
    const isShort = length === hello(undefined, 0, { isShort: true }).length;
    assert.equal(readHello(records(cut)) === "malformed", !isShort, `${length} bytes`);
  }
  for (let i = 0; i < 2000; i++) {
    const noise = Buffer.from(whole);
    randomBytes(1 + i % 40).copy(noise, 4 + i % (noise.length - 4));
    const found = readHello(records(noise));
    if (typeof found === "string") assert.equal(found, "malformed");
    else assert.ok(found.sessionId.length <= 32);
  }
});

test("another record within a ClientHello is malformed", () => {
  const message = hello("a.test");
  const alert = Buffer.of(0x15, 3, 3, 0, 2, 1, 90);
  const all = [records(message.subarray(0, 10)), alert, records(message.subarray(10))];
  assert.equal(readHello(Buffer.concat(all)), "malformed");
});

test("an endless ClientHello is abandoned, in records of any size", () => {
  const endless = Buffer.from(hello("a.test"));
  endless.writeUIntBE(0xffffff, 1, 3);
  for (const size of [16_384, 1000, 1]) {
    const bytes = records(Buffer.concat([endless, Buffer.alloc(40_000)]), size);
    const reader = new HelloReader();
    let taken = 0;
    while (reader.add(bytes.subarray(taken, taken + 100)) === "incomplete") taken += 100;
    assert.ok(taken <= 32_768, `${taken} bytes were held`);
    assert.equal(readHello(bytes), "malformed");
  }
});

test("reads how a client can resume", () => {
  const tls13 = extension(43, vector(1, Buffer.of(3, 4, 3, 3)));
  const tls12 = extension(43, vector(1, Buffer.of(3, 3)));
  const ticket = extension(35, Buffer.alloc(0));
  const cases: [Buffer[], boolean, boolean][] = [
    [[], false, false],
    [[tls12], false, false],
    [[ticket], true, false],
    [[tls13], false, true],
    [[tls13, ticket], true, true],
  ];
  for (const [more, acceptsTickets, supportsTls13] of cases) {
    const found = readHello(records(hello("a.test", 0, { more }), 50)) as ClientHello;
    assert.deepEqual({ ...found, sessionId: found.sessionId.length }, {
      ...{ serverName: "a.test", sessionId: 32, acceptsTickets, supportsTls13 },
    });
  }
});

test("the session id is that of the ClientHello, and none is longer than 32 bytes", () => {
  for (const length of [0, 1, 32]) {
    const id = randomBytes(length);
    const found = readHello(records(hello("a", 0, { id }))) as ClientHello;
    assert.deepEqual(Buffer.from(found.sessionId), id);
  }
  assert.equal(readHello(records(hello("a", 0, { id: randomBytes(33) }))), "malformed");
});

test("a ClientHello that ends before its extensions offers a session too", () => {
  const found = readHello(records(hello(undefined, 0, { isShort: true }))) as ClientHello;
  assert.equal(found.sessionId.length, 32);
  assert.ok(!found.acceptsTickets && !found.supportsTls13);
  assert.equal(found.serverName, undefined);
});

function nameIn(bytes: Uint8Array): string | undefined {
  const found = readHello(bytes);
  assert.ok(typeof found !== "string", String(found));
  return found.serverName;
}
