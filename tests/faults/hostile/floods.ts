/** Clients that repeat endlessly what the protocol allows. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { until, within } from "../../support/until.ts";
import { type Attack, ECHO, type Field, inParallel, ONE_WORKER, sourceAddress } from "./attack.ts";
import {
  ALERT,
  APPLICATION_DATA,
  CHANGE_CIPHER_SPEC,
  FATAL,
  plainRecord,
  Tls13Client,
  WARNING,
} from "./tls13.ts";

const TINY_RECORDS = 100_000;
/** Records of a flood, and clients that send it concurrently. */
const FLOOD = 20_000;
const CLIENTS = 4;
/** Records in one write. */
const BATCH = 100;
const PATIENCE = 60_000;
/** These apply to the load too, which is slow on a busy machine. */
const LINES = ["ssl-handshake-timeout = 10", "half-close-timeout = 10"];
/** RFC 8446 section 6, RFC 5246 section 7.2.2, and an undefined one. */
const USER_CANCELED = 90;
const NO_RENEGOTIATION = 100;
const UNKNOWN = 254;

/** Where in a connection something is sent. */
const states = {
  "before the ClientHello": (client: Tls13Client) => client,
  "after the ClientHello": (client: Tls13Client) => client.hello(),
  async "before the Finished"(client: Tls13Client) {
    client.hello();
    await client.answered();
  },
  async "after the handshake"(client: Tls13Client) {
    await states["before the Finished"](client);
    client.finish();
    client.send(APPLICATION_DATA, ECHO);
    await client.echo(Buffer.from("hello"));
  },
} as const;

type State = keyof typeof states;
const everyState = Object.keys(states) as State[];

export const floods: readonly Attack[] = [
  {
    name: "tiny-records",
    title: `${TINY_RECORDS} records of one byte on one connection, each echoed and checked`,
    setup: ONE_WORKER,
    async run(field) {
      const count = Math.ceil(TINY_RECORDS / field.form.divisor);
      await echoesTinyRecords(field, count);
      await echoesTinyWrites(field, count);
    },
  },
  {
    name: "alerts",
    title: "alerts in every state: fatal, unknown, close_notify, and floods of warnings",
    short: true,
    setup: { ...ONE_WORKER, lines: LINES },
    async run(field) {
      // In parallel, since some are answered only by the handshake's time limit.
      await Promise.all(everyState.map(async (state) => {
        await flood(field, `a fatal alert ${state}`, state, 1, alert(FATAL, 40), "ended");
        await flood(field, `an unknown alert ${state}`, state, 1, alert(FATAL, UNKNOWN), "prodded");
        await flood(field, `close_notify ${state}`, state, 1, alert(WARNING, 0), "ended");
        await flood(field, `warnings ${state}`, state, FLOOD, alert(WARNING, USER_CANCELED));
        await flood(field, `unknown warnings ${state}`, state, FLOOD, alert(WARNING, UNKNOWN));
        await flood(field, `levels ${state}`, state, FLOOD, alert(9, NO_RENEGOTIATION));
      }));
    },
  },
  {
    name: "key-updates",
    title: `${CLIENTS} clients that send ${FLOOD} KeyUpdates each, with and without an answer`,
    short: true,
    setup: ONE_WORKER,
    async run(field) {
      for (const isRequested of [false, true]) {
        const what = `KeyUpdates (${isRequested ? "with" : "without"} update_requested)`;
        const make = (client: Tls13Client) => client.keyUpdate(isRequested);
        await flood(field, what, "after the handshake", FLOOD, make);
        await flood(field, `unread ${what}`, "after the handshake", FLOOD, make, "unread");
      }
    },
  },
  {
    name: "empty-records",
    title: `${CLIENTS} clients that send ${FLOOD} empty records each`,
    setup: { ...ONE_WORKER, lines: LINES },
    async run(field) {
      const none = Buffer.alloc(0);
      for (const state of everyState) {
        const make = (client: Tls13Client) => client.record(APPLICATION_DATA, none);
        await flood(field, `empty application data ${state}`, state, FLOOD, make);
        const empty = () => plainRecord(22, none);
        await flood(field, `empty handshake records ${state}`, state, FLOOD, empty);
      }
    },
  },
  {
    name: "change-cipher-spec",
    title: `${CLIENTS} clients that send ${FLOOD} ChangeCipherSpec records each`,
    setup: { ...ONE_WORKER, lines: LINES },
    async run(field) {
      const make = () => plainRecord(CHANGE_CIPHER_SPEC, Buffer.from([1]));
      for (const state of everyState) {
        await flood(field, `ChangeCipherSpec ${state}`, state, FLOOD, make);
      }
    },
  },
  {
    name: "renegotiation",
    title: `clients that request a renegotiation in TLS 1.2, which is refused`,
    short: true,
    setup: ONE_WORKER,
    async run(field) {
      const count = Math.ceil(REQUESTS / field.form.divisor);
      await inParallel(count, CLIENTS, (number) => isRefused(field, number));
    },
  },
];

const REQUESTS = 100;

function alert(level: number, description: number): (client: Tls13Client) => Buffer {
  return (client) => client.record(ALERT, Buffer.from([level, description]));
}

/**
 * Several clients send `records` records in one state. Stud either closes the connection, or accepts
 * them all: then it still echoes if the handshake is done. `ended` requires the close; `prodded`
 * too, but allows it at a later record, since Node does not report an alert for which OpenSSL has no
 * text; `unread`: the client reads nothing meanwhile.
 */
async function flood(
  field: Field,
  what: string,
  state: State,
  records: number,
  make: (client: Tls13Client) => Buffer,
  manner?: "ended" | "prodded" | "unread",
): Promise<void> {
  const count = Math.ceil(records / field.form.divisor);
  const results = new Set<string>();
  await inParallel(CLIENTS, CLIENTS, async (number) => {
    const client = await Tls13Client.open(field.frontend, sourceAddress(number));
    try {
      await states[state](client);
      if (manner === "unread") client.socket.pause();
      await sendAll(client, count, () => make(client));
      client.socket.resume();
      if (manner === "prodded" && state === "after the handshake") {
        await until(() => {
          if (!client.hasEnded) client.send(APPLICATION_DATA, byte(0));
          return client.hasEnded;
        }, `stud closes ${what}`);
      }
      const mustEnd = manner === "ended" || manner === "prodded";
      results.add(await outcome(client, state, mustEnd, what));
    } finally {
      client.socket.resetAndDestroy();
    }
  });
  if (records > 1) field.notes.push(`${what}: ${[...results].join(" or ")}`);
}

async function sendAll(client: Tls13Client, count: number, make: () => Buffer): Promise<void> {
  for (let sent = 0; sent < count && !client.hasEnded; sent += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - sent) }, make);
    client.socket.write(Buffer.concat(batch));
    const isTaken = () => client.socket.writableLength === 0 || client.hasEnded;
    if (!isTaken()) await until(isTaken, "stud accepts a flood", PATIENCE);
  }
}

async function outcome(
  client: Tls13Client,
  state: State,
  mustEnd: boolean,
  what: string,
): Promise<string> {
  // An echo shows at once whether everything was accepted; a handshake ends at its time limit.
  if (!mustEnd && state === "after the handshake") {
    const wanted = client.receivedBytes + 4;
    if (!client.hasEnded) client.send(APPLICATION_DATA, Buffer.from("over"));
    await until(() => client.hasEnded || client.receivedBytes === wanted, what, PATIENCE);
    if (!client.hasEnded) return `accepted, ${client.keyUpdates} KeyUpdates received`;
  }
  await within(client.ended, `the close after ${what}`, PATIENCE);
  return `ended${client.alerts.map(([, description]) => `, alert ${description}`)}`;
}

/** TLS 1.3. */
async function echoesTinyRecords(field: Field, count: number): Promise<void> {
  const client = await Tls13Client.handshake(field.frontend, sourceAddress(1));
  try {
    client.send(APPLICATION_DATA, ECHO);
    let number = 0;
    await sendAll(client, count, () => client.record(APPLICATION_DATA, byte(number++)));
    await until(() => client.receivedBytes >= count || client.hasEnded, "all echoes", PATIENCE);
    if (client.received.digest("hex") !== expected(count)) throw new Error("the echo differs");
  } finally {
    client.socket.resetAndDestroy();
  }
}

/** TLS 1.2, where each write is a record. */
async function echoesTinyWrites(field: Field, count: number): Promise<void> {
  const client = await openTls12(field, 2);
  const received = createHash("sha256");
  let bytes = 0;
  client.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    received.update(chunk);
  });
  try {
    client.write(ECHO);
    for (let number = 0; number < count && !client.destroyed; number++) {
      await new Promise((written) => client.write(byte(number), written));
    }
    await until(() => bytes >= count || client.destroyed, "all echoes", PATIENCE);
    if (received.digest("hex") !== expected(count)) throw new Error("the echo differs");
  } finally {
    client.destroy();
  }
}

/** The client's request is refused or the connection is cut; it never gets a second handshake. */
async function isRefused(field: Field, number: number): Promise<void> {
  const client = await openTls12(field, number);
  try {
    const answered = new Promise<string>((resolve) => {
      client.on("error", () => resolve("refused")).on("close", () => resolve("closed"));
      const isBegun = client.renegotiate({}, (error) => resolve(error ? "refused" : "done"));
      if (isBegun === false) resolve("not sent");
    });
    const answer = await within(answered, "an answer to the renegotiation");
    if (answer !== "refused" && answer !== "closed") throw new Error(`renegotiation: ${answer}`);
  } finally {
    client.destroy();
  }
}

async function openTls12(field: Field, number: number): Promise<TLSSocket> {
  const options = {
    ...field.frontend,
    localAddress: sourceAddress(number),
    noDelay: true,
    servername: "localhost",
    rejectUnauthorized: false,
    maxVersion: "TLSv1.2",
  } as const;
  const client = connect(options);
  await within(once(client, "secureConnect"), "a handshake");
  return client.on("error", () => {});
}

function byte(number: number): Buffer {
  return Buffer.from([number % 251]);
}

function expected(count: number): string {
  const bytes = Buffer.alloc(count);
  for (let number = 0; number < count; number++) bytes[number] = number % 251;
  return createHash("sha256").update(bytes).digest("hex");
}
