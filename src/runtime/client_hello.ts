/** Reads a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) before the TLS library does. */
import { GrowingBuffer } from "../base/growing_buffer.ts";

/** Maximum number of bytes that are buffered for a ClientHello that arrives in chunks. */
const MAX_HELLO = 32_768;
/** A client has no reason to use more records, and each costs another pass. */
const MAX_RECORDS = 64;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const SESSION_TICKET = 35;
const SUPPORTED_VERSIONS = 43;
const TLS_1_3 = 0x0304;
const MAX_SESSION_ID = 32;
const HOST_NAME = 0;

/** A ClientHello that did not arrive in one read. */
export class PartialHello {
  private readonly held = new GrowingBuffer(1024);
  private wanted = 0;

  /** All bytes so far. */
  get bytes(): Uint8Array {
    return this.held.bytes;
  }

  /** Adds bytes. Returns the name as {@link helloName} does, or undefined while bytes are missing. */
  add(bytes: Uint8Array): string | undefined {
    const all = this.held.add(bytes);
    if (all.length > MAX_HELLO) return "";
    if (all.length < this.wanted) return undefined;
    const found = helloName(all);
    if (typeof found === "string") return found;
    this.wanted = found;
    return undefined;
  }
}

/**
 * Returns the server name that the client requests, or the number of bytes needed to continue. It is
 * "" without SNI, and for what is not a ClientHello: OpenSSL reports that.
 */
export function helloName(bytes: Uint8Array): string | number {
  const message = handshakeMessage(bytes);
  if (typeof message === "number") return message;
  try {
    return serverName(new Reader(message)) ?? "";
  } catch (error) {
    if (error instanceof RangeError) return "";
    throw error;
  }
}

/** Whether the TLS library needs no more bytes to answer; also true for what is not a ClientHello. */
export function isWholeHello(bytes: Uint8Array): boolean {
  return typeof handshakeMessage(bytes) !== "number";
}

/** How a client can resume a session. */
export interface SessionOffer {
  /** The session to resume; may be made up, or empty. */
  readonly id: Uint8Array;
  /** The client accepts session tickets (RFC 5077). */
  readonly acceptsTickets: boolean;
  readonly supportsTls13: boolean;
}

/** Returns what a whole ClientHello says about sessions; undefined for anything else. */
export function sessionOffer(bytes: Uint8Array): SessionOffer | undefined {
  const message = handshakeMessage(bytes);
  if (typeof message === "number") return undefined;
  try {
    const found = fields(new Reader(message));
    if (!found || found.id.length > MAX_SESSION_ID) return undefined;
    const { id, extensions } = found;
    let [acceptsTickets, supportsTls13] = [false, false];
    while (!extensions.isEmpty) {
      const type = extensions.number(2);
      const body = new Reader(extensions.take(extensions.number(2)));
      if (type === SESSION_TICKET) acceptsTickets = true;
      if (type === SUPPORTED_VERSIONS) supportsTls13 = hasTls13(body);
    }
    return { id, acceptsTickets, supportsTls13 };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Returns the first handshake message without its record headers; a number as in {@link helloName}. */
function handshakeMessage(bytes: Uint8Array): Uint8Array | number {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (let at = 0; parts.length < MAX_RECORDS;) {
    if (bytes.length > at && bytes[at] !== HANDSHAKE_RECORD) return NOTHING;
    if (bytes.length < at + 5) return at + 5;
    const end = at + 5 + (bytes[at + 3]! << 8 | bytes[at + 4]!);
    if (bytes.length < end) return end;
    parts.push(bytes.subarray(at + 5, end));
    length += end - at - 5;
    const message = parts.length === 1 ? parts[0]! : length < 4 ? NOTHING : Buffer.concat(parts);
    if (length >= 4 && length >= messageLength(message)) {
      return message.subarray(0, messageLength(message));
    }
    at = end;
  }
  return NOTHING;
}

function messageLength(message: Uint8Array): number {
  return 4 + (message[1]! << 16 | message[2]! << 8 | message[3]!);
}

function serverName(hello: Reader): string | undefined {
  const extensions = fields(hello)?.extensions;
  while (extensions && !extensions.isEmpty) {
    const type = extensions.number(2);
    const body = new Reader(extensions.take(extensions.number(2)));
    if (type !== SERVER_NAME) continue;
    const names = new Reader(body.take(body.number(2)));
    if (names.number(1) !== HOST_NAME) return undefined;
    return Buffer.from(names.take(names.number(2))).toString("latin1");
  }
  return undefined;
}

function hasTls13(supportedVersions: Reader): boolean {
  const versions = new Reader(supportedVersions.take(supportedVersions.number(1)));
  while (!versions.isEmpty) if (versions.number(2) === TLS_1_3) return true;
  return false;
}

/** Reads the session id and the extensions of a ClientHello; undefined for another message. */
function fields(hello: Reader): { id: Uint8Array; extensions: Reader } | undefined {
  if (hello.number(1) !== CLIENT_HELLO) return undefined;
  // The message's length, legacy_version and random.
  hello.take(3 + 2 + 32);
  const id = hello.take(hello.number(1));
  // cipher_suites and legacy_compression_methods.
  for (const width of [2, 1]) hello.take(hello.number(width));
  const extensions = hello.isEmpty ? NOTHING : hello.take(hello.number(2));
  return { id, extensions: new Reader(extensions) };
}

/** Reads from the start of `bytes`. Its methods throw a RangeError beyond the end. */
class Reader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.at === this.bytes.length;
  }

  take(length: number): Uint8Array {
    const end = this.at + length;
    if (end > this.bytes.length) throw new RangeError("the message is too short");
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  number(width: number): number {
    if (this.at + width > this.bytes.length) throw new RangeError("the message is too short");
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + this.bytes[this.at++]!;
    return value;
  }
}

const NOTHING = new Uint8Array(0);
