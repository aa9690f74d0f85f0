/** Clients that send garbage, disconnect in every state, or split their records into single bytes. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import type { SecureVersion } from "node:tls";
import { until, within } from "../../support/until.ts";
import { type Attack, dial, ECHO, type Field, inParallel, isEnded, ONE_WORKER } from "./attack.ts";
import { byteByByte, type Cut, Cutter, secure } from "./wire.ts";

/** Repetitions of each kind of garbage, and in each state. */
const REPETITIONS = 100;
const LEAVERS = 20;
const AT_ONCE = 20;
const VERSIONS: readonly SecureVersion[] = ["TLSv1.2", "TLSv1.3"];
/** More records than a handshake and an exchange take in both directions together. */
const MAX_STATES = 60;
/** Bytes that are sent one by one after the handshake. */
const SLOW_BYTES = 2000;
/** How long stud waits for more, in seconds; this applies to the load too. */
const TIMEOUT = 10;
const LINES = [`ssl-handshake-timeout = ${TIMEOUT}`, `half-close-timeout = ${TIMEOUT}`];
const PATIENCE = 30_000;

/** By name; each is sent at once, and stud must close the connection on its own. */
const garbage: Readonly<Record<string, () => Buffer>> = {
  "random bytes": () => randomBytes(1 + Math.floor(Math.random() * 3000)),
  "plain HTTP": () => Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
  "an SSLv2 ClientHello": () =>
    Buffer.from(
      `802e0100020015000000100100800200800300800400800500800600400700c0${"5a".repeat(16)}`,
      "hex",
    ),
  "a record of 65,535 bytes": () => Buffer.concat([hex("160303ffff"), Buffer.alloc(65_535, 1)]),
  "the header of a record that is too long": () => hex("1603034801010000"),
  "records of no bytes": () => Buffer.concat(Array.from({ length: 200 }, () => hex("1603010000"))),
  "application data": () => Buffer.concat([hex("1703030100"), randomBytes(256)]),
  "a fatal alert": () => hex("15030300020228"),
  "an alert of no known level": () => hex("150303000209ff"),
  "ChangeCipherSpec": () => hex("140303000101"),
  "a record of an unknown type": () => hex("63030300020000"),
  "zeros": () => Buffer.alloc(4096),
  "a handshake message of 16 MiB": () => hex("160301000401ffffff"),
};

export const broken: readonly Attack[] = [
  {
    name: "garbage",
    title: `${Object.keys(garbage).length} kinds of garbage instead of a ClientHello, ` +
      `${REPETITIONS} of each`,
    short: true,
    setup: { ...ONE_WORKER, lines: LINES },
    async run(field) {
      const count = Math.ceil(REPETITIONS / field.form.divisor);
      const kinds = Object.entries(garbage);
      // The short form has no time to wait for each kind in turn.
      const kindsAtOnce = field.form.divisor === 1 ? 1 : kinds.length;
      await inParallel(kinds.length, kindsAtOnce, async (kind) => {
        const [what, make] = kinds[kind]!;
        await inParallel(count, count, async (number) => {
          const socket = await dial(field.frontend, number);
          try {
            socket.write(make());
            await isEnded(socket, what, PATIENCE);
          } finally {
            socket.resetAndDestroy();
          }
        });
      });
    },
  },
  {
    name: "leavers",
    title: "clients that disconnect with FIN or RST at every record of handshake and data, " +
      `TLS 1.2 and 1.3, ${LEAVERS} times each`,
    setup: { ...ONE_WORKER, lines: LINES },
    async run(field) {
      const count = Math.ceil(LEAVERS / field.form.divisor);
      for (const version of VERSIONS) {
        for (const how of ["fin", "rst"] as const) {
          let state = 0;
          while (await isCutIn(field, { version, how, state, count })) state++;
          field.notes.push(`${version}, ${how}: ${state} states`);
        }
      }
    },
  },
  {
    name: "byte-by-byte",
    title: `handshake and ${SLOW_BYTES} bytes of data with each byte in a separate segment`,
    setup: ONE_WORKER,
    async run(field) {
      const count = Math.ceil(AT_ONCE / field.form.divisor);
      for (const version of VERSIONS) {
        await inParallel(count, count, (number) => talksInBytes(field, number, version));
      }
    },
  },
];

interface Leaving {
  readonly version: SecureVersion;
  readonly how: Cut;
  readonly state: number;
  readonly count: number;
}

/** False if the connection ended before it could be cut there. */
async function isCutIn(field: Field, { version, how, state, count }: Leaving): Promise<boolean> {
  if (state > MAX_STATES) throw new Error("a handshake does not end");
  let cuts = 0;
  await inParallel(count, AT_ONCE, async (number) => {
    const socket = await dial(field.frontend, number);
    const cutter = new Cutter(socket, how, state);
    const client = secure(socket, cutter, { maxVersion: version, minVersion: version });
    try {
      await leaves(client, socket, cutter);
      if (cutter.isCut) cuts++;
    } finally {
      client.destroy();
      socket.resetAndDestroy();
    }
  });
  return cuts > 0;
}

async function leaves(client: Socket, socket: Socket, cutter: Cutter): Promise<void> {
  let answer = "";
  client.on("secureConnect", () => client.write(Buffer.concat([ECHO, Buffer.from("bye")])));
  client.on("data", (bytes: Buffer) => {
    answer += bytes;
    if (answer === "bye") client.end();
  });
  await isEnded(socket, `a connection that ${cutter.isCut ? "left" : "ended"}`, PATIENCE);
}

async function talksInBytes(field: Field, number: number, version: SecureVersion): Promise<void> {
  const socket = await dial(field.frontend, number);
  const client = secure(socket, byteByByte, { maxVersion: version, minVersion: version });
  try {
    await within(once(client, "secureConnect"), "a handshake in bytes", 30_000);
    const sent = randomBytes(SLOW_BYTES);
    const chunks: Buffer[] = [];
    let received = 0;
    client.on("data", (bytes: Buffer) => received += chunks.push(bytes) && bytes.length);
    client.write(Buffer.concat([ECHO, sent]));
    await until(() => received >= sent.length || client.destroyed, "the echo", 30_000);
    if (!Buffer.concat(chunks).equals(sent)) throw new Error("the echo differs");
  } finally {
    client.destroy();
    socket.resetAndDestroy();
  }
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}
