import { test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { helloName, PartialHello, sessionOffer } from "../../src/runtime/client_hello.ts";

test("the name in a whole ClientHello is found, whatever follows", () => {
  const bytes = records(hello("a.test"));
  assert.equal(helloName(bytes), "a.test");
  assert.equal(helloName(Buffer.concat([bytes, randomBytes(100)])), "a.test");
});

test("a ClientHello without a name has none", () => {
  assert.equal(helloName(records(hello(undefined))), "");
});

test("a ClientHello in many records is assembled", () => {
  for (const size of [1, 2, 3, 4, 100]) {
    const message = hello("a.test");
    // But not from more records than a client has reason to use.
    const expected = message.length / size <= 64 ? "a.test" : "";
    assert.equal(helloName(records(message, size)), expected, `${size} bytes each`);
  }
});

test("the name in a ClientHello that arrives byte by byte is found at the last byte", () => {
  for (const size of [16_384, 50]) {
    const bytes = records(hello("a.test", 2000), size);
    const partial = new PartialHello();
    for (let i = 0; i < bytes.length - 1; i++) {
      assert.equal(partial.add(bytes.subarray(i, i + 1)), undefined);
    }
    assert.equal(partial.add(bytes.subarray(-1)), "a.test");
    assert.deepEqual(new Uint8Array(partial.bytes), new Uint8Array(bytes));
  }
});

test("the number of bytes needed never exceeds the ClientHello", () => {
  const bytes = records(hello("a.test", 2000), 300);
  for (let length = 0; length < bytes.length; length++) {
    const wanted = helloName(bytes.subarray(0, length));
    assert.ok(typeof wanted === "number" && wanted > length && wanted <= bytes.length);
  }
});

test("what is not a ClientHello has no name at once", () => {
  for (const text of ["GET / HTTP/1.0\r\n\r\n", "\x80\x2e\x01", "\x15\x03\x01\x00\x02\x02\x00"]) {
    assert.equal(helloName(Buffer.from(text, "latin1")), "");
  }
  const serverHello = hello("a.test");
  serverHello[0] = 2;
  assert.equal(helloName(records(serverHello)), "");
});

test("a broken ClientHello has no name", () => {
  const whole = hello("a.test");
  for (let length = 4; length < whole.length; length++) {
    const cut = Buffer.from(whole.subarray(0, length));
    cut.writeUIntBE(length - 4, 1, 3);
    assert.equal(helloName(records(cut)), "");
  }
  for (let i = 0; i < 2000; i++) {
    const noise = Buffer.from(whole);
    randomBytes(1 + i % 40).copy(noise, 4 + i % (noise.length - 4));
    assert.equal(typeof helloName(records(noise)), "string");
  }
});

test("an endless ClientHello is abandoned", () => {
  const endless = Buffer.from(hello("a.test"));
  endless.writeUIntBE(0xffffff, 1, 3);
  const bytes = records(Buffer.concat([endless, Buffer.alloc(40_000)]), 16_384);
  const partial = new PartialHello();
  let taken = 0;
  while (taken < bytes.length && partial.add(bytes.subarray(taken, taken + 100)) === undefined) {
    taken += 100;
  }
  assert.ok(taken <= 32_768, `${taken} bytes were held`);
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
    const offer = sessionOffer(records(hello("a.test", 0, { more }), 50));
    assert.deepEqual(offer && { ...offer, id: offer.id.length }, {
      ...{ id: 32, acceptsTickets, supportsTls13 },
    });
  }
});

test("the session id is that of the ClientHello, and none is longer than 32 bytes", () => {
  for (const length of [0, 1, 32]) {
    const id = randomBytes(length);
    assert.deepEqual(Buffer.from(sessionOffer(records(hello("a", 0, { id })))!.id), id);
  }
  assert.equal(sessionOffer(records(hello("a", 0, { id: randomBytes(33) }))), undefined);
});

test("a ClientHello that ends before its extensions offers a session too", () => {
  const short = hello(undefined, 0, { isShort: true });
  const offer = sessionOffer(records(short))!;
  assert.equal(offer.id.length, 32);
  assert.ok(!offer.acceptsTickets && !offer.supportsTls13);
  assert.equal(helloName(records(short)), "");
});

test("a broken or incomplete ClientHello offers no session", () => {
  const whole = hello("a.test");
  for (let length = 4; length < whole.length; length++) {
    const cut = Buffer.from(whole.subarray(0, length));
    assert.equal(sessionOffer(records(cut)), undefined, `${length} bytes`);
  }
  for (let i = 0; i < 2000; i++) {
    const noise = Buffer.from(whole);
    randomBytes(1 + i % 40).copy(noise, 4 + i % (noise.length - 4));
    const offer = sessionOffer(records(noise));
    assert.ok(offer === undefined || offer.id.length <= 32);
  }
});

/** A handshake message with its header; `padding` bytes come before the name. */
function hello(
  name: string | undefined,
  padding = 0,
  { id = randomBytes(32), more = [], isShort = false }: {
    readonly id?: Buffer;
    /** Extensions. */
    readonly more?: readonly Buffer[];
    /** Without extensions, and without their length. */
    readonly isShort?: boolean;
  } = {},
): Buffer {
  const extensions = [extension(21, Buffer.alloc(padding)), ...more];
  if (name !== undefined) {
    const entry = Buffer.concat([Buffer.of(0), vector(2, Buffer.from(name))]);
    extensions.push(extension(0, vector(2, entry)));
  }
  const body = Buffer.concat([
    Buffer.of(3, 3),
    randomBytes(32),
    vector(1, id),
    vector(2, Buffer.of(0x13, 1, 0x13, 2)),
    vector(1, Buffer.of(0)),
    isShort ? Buffer.alloc(0) : vector(2, Buffer.concat(extensions)),
  ]);
  return Buffer.concat([Buffer.of(1), vector(3, body)]);
}

function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type >> 8, type & 255), vector(2, body)]);
}

/** Prefixes bytes with their length. */
function vector(width: number, body: Buffer): Buffer {
  const length = Buffer.alloc(width);
  length.writeUIntBE(body.length, 0, width);
  return Buffer.concat([length, body]);
}

/** Returns TLS records of at most `size` bytes each. */
function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.of(22, 3, 1), vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(parts);
}
