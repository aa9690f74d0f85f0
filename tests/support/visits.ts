/** Returning clients, and ways to tamper with their tickets. */
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { type ClientOptions, openTls } from "./client.ts";
import { run } from "./commands.ts";
import type { Endpoint } from "./endpoints.ts";
import { within } from "./until.ts";

export const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
export type Version = (typeof VERSIONS)[number];

export interface Visit {
  readonly isReused: boolean;
  /** The session to resume. */
  readonly session: Buffer;
}

/** One connection of a Node client. The backend sends first; by then all tickets have arrived. */
export async function visit(
  endpoint: Endpoint,
  version: Version,
  session?: Buffer,
  options: ClientOptions = {},
): Promise<Visit> {
  const versions = { minVersion: version, maxVersion: version };
  const all = { ...versions, ...options, ...(session ? { session } : {}) };
  const socket = await openTls(endpoint, all);
  try {
    await within(firstWord(socket), "the backend's greeting");
    return { isReused: socket.isSessionReused(), session: socket.getSession()! };
  } finally {
    socket.destroy();
  }
}

/** Rejects if the connection ends without a byte. */
function firstWord(socket: TLSSocket): Promise<unknown> {
  const ended = once(socket, "end").then(() =>
    Promise.reject(new Error("the connection ended without a byte"))
  );
  return Promise.race([once(socket, "data"), ended]);
}

/** Like {@link visit} with `openssl s_client`: `New` or `Reused`, or else its whole output. */
export async function opensslVisit(
  endpoint: Endpoint,
  ...words: readonly string[]
): Promise<string> {
  const output = await opensslOutput(endpoint, ...words);
  return /^(New|Reused), /m.exec(output)?.[1] ?? output;
}

/** Returns all that `openssl s_client` prints about a connection that the backend closes. */
export async function opensslOutput(
  { host, port }: Endpoint,
  ...words: readonly string[]
): Promise<string> {
  const at = ["-connect", `${host}:${port}`, "-servername", "localhost"];
  const { stdout, stderr } = await run("openssl", ["s_client", ...at, "-ign_eof", ...words]);
  return `${stdout}${stderr}`;
}

/** The session with another ticket in it (OpenSSL's SSL_SESSION in DER, where it is member 10). */
export function withTicket(session: Buffer, change: (ticket: Buffer) => Buffer): Buffer {
  // Node prepends a value of its own.
  const start = session.indexOf(Buffer.of(SEQUENCE, LONG));
  let hasChanged = false;
  const members = elements(contents(session.subarray(start))).map((member) => {
    if (member[0] !== TICKET) return member;
    hasChanged = true;
    return element(TICKET, element(OCTET_STRING, change(contents(contents(member)))));
  });
  if (!hasChanged) throw new Error("the session has no ticket");
  return Buffer.concat([session.subarray(0, start), element(SEQUENCE, Buffer.concat(members))]);
}

const SEQUENCE = 0x30;
/** A length in two bytes follows. */
const LONG = 0x82;
const OCTET_STRING = 0x04;
const TICKET = 0xaa;

/** The position of the contents of the first DER element (X.690 section 8.1.3). */
function extent(der: Buffer): { start: number; end: number } {
  const first = der[1]!;
  if (first < 0x80) return { start: 2, end: 2 + first };
  const width = first & 0x7f;
  const start = 2 + width;
  return { start, end: start + der.readUIntBE(2, width) };
}

function contents(der: Buffer): Buffer {
  const { start, end } = extent(der);
  return der.subarray(start, end);
}

function elements(der: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let rest = der; rest.length > 0;) {
    const { end } = extent(rest);
    found.push(rest.subarray(0, end));
    rest = rest.subarray(end);
  }
  return found;
}

function element(tag: number, body: Buffer): Buffer {
  const length = body.length < 0x80 ? [body.length] : [LONG, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}
