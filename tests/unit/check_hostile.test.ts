/** `stud check` against servers that do not speak TLS, are silent, or are hostile. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Authorities } from "../../src/check/chain.ts";
import { explained, inspect } from "../../src/check/check.ts";
import { CheckFault } from "../../src/check/fault.ts";
import { parseTarget } from "../../src/check/target.ts";

const servers: Server[] = [];
const sockets = new Set<Socket>();
after(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
});

const nobody = { authorities: new Authorities([]), file: "none", warnings: [] };

/** Starts a server that does `talk` with each connection; returns its port. */
async function serve(talk: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    talk(socket);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Checks such a server, or the one with this port; returns the fault. */
async function faultOf(
  talk: ((socket: Socket) => void) | number,
  timeout = 20,
): Promise<CheckFault> {
  const port = typeof talk === "number" ? talk : await serve(talk);
  try {
    await inspect(parseTarget(`127.0.0.1:${port}`), { timeout }, nobody);
  } catch (error) {
    assert.ok(error instanceof CheckFault, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "the check came to a result" });
}

/** Answers the first bytes of a client. */
function answer(...parts: readonly (Uint8Array | string)[]): (socket: Socket) => void {
  return (socket) =>
    socket.once("data", () => {
      for (const part of parts) socket.write(part);
    });
}

function record(type: number, content: Uint8Array, length = content.length): Uint8Array {
  return Buffer.concat([Buffer.of(type, 3, 3, length >> 8, length & 0xff), content]);
}

function message(type: number, content: Uint8Array, length = content.length): Uint8Array {
  return Buffer.concat([
    Buffer.of(type, length >> 16, (length >> 8) & 0xff, length & 0xff),
    content,
  ]);
}

/** A ServerHello of TLS 1.2, or with `extensions` of what they say. */
function hello(cipher: number, extensions: Uint8Array = Buffer.alloc(0)): Uint8Array {
  const body = [Buffer.of(3, 3), Buffer.alloc(32, 7), Buffer.of(0, cipher >> 8, cipher & 0xff, 0)];
  const length = Buffer.of(extensions.length >> 8, extensions.length & 0xff);
  return message(2, Buffer.concat([...body, length, extensions]));
}

test("what is not TLS is named, with a remedy", async () => {
  const cases: readonly (readonly [(socket: Socket) => void, RegExp])[] = [
    [(socket) => socket.write("220 mail.test ESMTP\r\n"), /it sent plain SMTP$/],
    [(socket) => socket.write("SSH-2.0-OpenSSH_9\r\n"), /it sent SSH$/],
    [answer("HTTP/1.1 400 Bad Request\r\n\r\n"), /it sent plain HTTP$/],
    [answer("N"), /it sent PostgreSQL$/],
    [answer("\x1b[31mhi\x07"), /it sent something that begins with "\\u001b\[31mhi\\u0007"$/],
    [answer(randomBytes(3000).fill(0xff, 0, 4)), /does not speak TLS/],
  ];
  for (const [talk, pattern] of cases) {
    const { message, remedy } = explained(await faultOf(talk));
    assert.match(message, pattern);
    assert.match(remedy, /STARTTLS/);
  }
});

test("a server that ends or resets the connection is reported as such", async () => {
  const cases: readonly (readonly [(socket: Socket) => void, string])[] = [
    [(socket) => socket.end(), "closed"],
    [(socket) => socket.once("data", () => socket.resetAndDestroy()), "reset"],
    [answerAndEnd(record(22, hello(0xc02f)).subarray(0, 20)), "closed"],
    [answer(record(21, Buffer.of(2, 40))), "alert"],
    [answer(record(21, Buffer.of(2, 255))), "alert"],
    [answer(record(21, Buffer.of(1, 0))), "closed"],
  ];
  for (const [talk, kind] of cases) assert.equal((await faultOf(talk)).kind, kind);
});

function answerAndEnd(part: Uint8Array): (socket: Socket) => void {
  return (socket) => socket.once("data", () => socket.end(part));
}

test("a silent server and a tarpit cost one step's time", async () => {
  const silent = await faultOf(() => {}, 0.2);
  assert.equal(silent.kind, "timeout");
  assert.match(silent.message, /the server sent nothing after 0\.2 s/);
  const whole = record(22, message(11, Buffer.alloc(9000)));
  const slow = await faultOf((socket) => {
    let at = 0;
    const timer = setInterval(() => socket.write(whole.subarray(at, ++at)), 10);
    socket.on("close", () => clearInterval(timer));
  }, 0.3);
  assert.equal(slow.kind, "timeout");
  assert.match(slow.message, /incomplete after 0\.3 s/);
});

test("hostile lengths and messages are refused within bounds", async () => {
  const first = hello(0xc02f);
  const certificate = (body: Uint8Array) => record(22, Buffer.concat([first, message(11, body)]));
  const endless = (one: Uint8Array) => (socket: Socket) => {
    const part = Buffer.concat(Array.from({ length: 2000 }, () => one));
    const more = () => {
      while (!socket.destroyed && socket.write(part));
    };
    socket.on("drain", more).once("data", () => {
      socket.write(record(22, first));
      more();
    });
  };
  const cases: readonly (readonly [string, (socket: Socket) => void, RegExp])[] = [
    [
      "record",
      answer(Buffer.of(22, 3, 3, 0xff, 0xff), Buffer.alloc(70_000)),
      /record that is too long/,
    ],
    ["message", answer(record(22, Buffer.of(2, 0xff, 0xff, 0xff))), /message of 16777219 bytes/],
    ["another message first", answer(record(22, message(11, Buffer.alloc(3)))), /no ServerHello/],
    ["short hello", answer(record(22, message(2, Buffer.alloc(20)))), /malformed ServerHello/],
    ["cipher", answer(record(22, hello(0x1234))), /not offered/],
    [
      "extension",
      answer(record(22, hello(0xc02f, Buffer.of(0, 16, 0xff, 0xff)))),
      /malformed ServerHello/,
    ],
    [
      "ALPN",
      answer(record(22, hello(0xc02f, Buffer.of(0, 16, 0, 2, 0, 9)))),
      /malformed ServerHello/,
    ],
    [
      "TLS 1.3 without key",
      answer(record(22, hello(0x1301, Buffer.of(0, 43, 0, 2, 3, 4)))),
      /key exchange/,
    ],
    [
      "chain",
      answer(certificate(Buffer.of(0, 0, 9, 0, 0, 99)), record(22, message(14, Buffer.alloc(0)))),
      /malformed Certificate/,
    ],
    [
      "repetition",
      answer(certificate(Buffer.alloc(3)), certificate(Buffer.alloc(3))),
      /in between/,
    ],
    ["endless empty records", endless(record(22, Buffer.alloc(0))), /more than 1048576 bytes/],
    [
      "endless small records",
      endless(record(22, Buffer.of(11))),
      /message of|more than|in between/,
    ],
    ["endless HelloRequests", endless(record(22, message(0, Buffer.alloc(0)))), /in between/],
    ["foreign record", endless(record(24, Buffer.alloc(9))), /no TLS record/],
    ["application data", endless(record(23, Buffer.alloc(9))), /another record/],
  ];
  for (const [what, talk, pattern] of cases) {
    const fault = await faultOf(talk);
    assert.match(fault.message, pattern, what);
  }
});

test("no bytes after a good start make the check fail in another way than by a fault", async () => {
  const start = record(22, hello(0xc02f));
  let bytes = Buffer.alloc(0);
  const port = await serve((socket) => socket.once("data", () => socket.end(bytes)));
  for (let i = 0; i < 100; i++) {
    bytes = Buffer.concat([start, record(22, message(11, Buffer.alloc(20, i)))]);
    // Some bytes change, wherever they are.
    for (let change = 0; change < 1 + i % 4; change++) {
      const [place = 0, value = 0] = randomBytes(2);
      bytes[place % bytes.length] = value;
    }
    const fault = await faultOf(port);
    assert.equal(fault.name, "CheckFault", bytes.toString("hex"));
  }
});
