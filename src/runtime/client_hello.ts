/** Reads a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) before the TLS library does. */
import { ByteReader } from "../base/byte_reader.ts";
import { GrowingBuffer } from "../base/growing_buffer.ts";

/** What a ClientHello says. */
export interface ClientHello {
  /** In the client's spelling, "" if its host_name is empty; undefined without SNI. */
  readonly serverName: string | undefined;
  /** The session to resume; may be made up, or empty. */
  readonly sessionId: Uint8Array;
  /** The client accepts session tickets (RFC 5077). */
  readonly acceptsTickets: boolean;
  readonly supportsTls13: boolean;
}

/**
 * Why there is no ClientHello: more bytes are needed; the bytes begin as something else; or it is
 * broken, or longer than {@link MAX_HELLO}.
 */
export type NoHello = "incomplete" | "other" | "malformed";

/** Maximum number of bytes of a ClientHello with the headers of its records, however many. */
export const MAX_HELLO = 32_768;

/** Reads the ClientHello at the start of `bytes`; what follows it is ignored. */
export function readHello(bytes: Uint8Array): ClientHello | NoHello {
  // Nearly always it is one record in one segment.
  const end = recordEnd(bytes, 0);
  if (bytes[0] === HANDSHAKE_RECORD && end <= bytes.length) {
    const content = bytes.subarray(HEADER, end);
    if (content[0] === CLIENT_HELLO && isWhole(content)) return parsed(content);
  }
  return new HelloReader().add(bytes);
}

/** A ClientHello that arrives in pieces. */
export class HelloReader {
  private readonly received = new GrowingBuffer(1024);
  /** The contents of the records so far. */
  private readonly message = new GrowingBuffer(1024);
  /** Where the next record begins. */
  private next = 0;

  /** All bytes so far. */
  get bytes(): Uint8Array {
    return this.received.bytes;
  }

  /** Adds bytes, at a cost in proportion to their number. Call it again while "incomplete". */
  add(chunk: Uint8Array): ClientHello | NoHello {
    const bytes = this.received.add(chunk);
    for (;;) {
      const message = this.message.bytes;
      const broken = message.length === 0 ? "other" : "malformed";
      if (message.length > 0 && message[0] !== CLIENT_HELLO) return "other";
      if (isWhole(message)) return parsed(message);
      if (bytes.length === this.next) return "incomplete";
      if (bytes[this.next] !== HANDSHAKE_RECORD) return broken;
      const end = recordEnd(bytes, this.next);
      if (end > MAX_HELLO) return broken;
      if (bytes.length < end) return "incomplete";
      this.message.add(bytes.subarray(this.next + HEADER, end));
      this.next = end;
    }
  }
}

/** Length of a record's header. */
const HEADER = 5;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const SESSION_TICKET = 35;
const SUPPORTED_VERSIONS = 43;
const TLS_1_3 = 0x0304;
const MAX_SESSION_ID = 32;
const HOST_NAME = 0;

/** Returns where the record at `at` ends, or its header if that is incomplete. */
function recordEnd(bytes: Uint8Array, at: number): number {
  const end = at + HEADER;
  return bytes.length < end ? end : end + (bytes[at + 3]! << 8 | bytes[at + 4]!);
}

function isWhole(message: Uint8Array): boolean {
  return message.length >= 4 && message.length >= messageLength(message);
}

function messageLength(message: Uint8Array): number {
  return 4 + (message[1]! << 16 | message[2]! << 8 | message[3]!);
}

function parsed(message: Uint8Array): ClientHello | "malformed" {
  try {
    return fields(new ByteReader(message.subarray(0, messageLength(message))));
  } catch (error) {
    if (error instanceof RangeError) return "malformed";
    throw error;
  }
}

function fields(hello: ByteReader): ClientHello {
  // The message's type and length, legacy_version and random.
  hello.skip(4 + 2 + 32);
  const sessionId = hello.take(hello.number(1));
  if (sessionId.length > MAX_SESSION_ID) throw new RangeError("the session id is too long");
  // cipher_suites and legacy_compression_methods.
  hello.skip(hello.number(2));
  hello.skip(hello.number(1));
  const extensions = new ByteReader(hello.isEmpty ? NOTHING : hello.take(hello.number(2)));
  let serverName: string | undefined;
  let [acceptsTickets, supportsTls13] = [false, false];
  while (!extensions.isEmpty) {
    const type = extensions.number(2);
    const length = extensions.number(2);
    if (type === SERVER_NAME) serverName = hostName(new ByteReader(extensions.take(length)));
    else if (type === SUPPORTED_VERSIONS) {
      supportsTls13 = hasTls13(new ByteReader(extensions.take(length)));
    } else extensions.skip(length);
    if (type === SESSION_TICKET) acceptsTickets = true;
  }
  return { serverName, sessionId, acceptsTickets, supportsTls13 };
}

function hostName(extension: ByteReader): string | undefined {
  const names = new ByteReader(extension.take(extension.number(2)));
  if (names.number(1) !== HOST_NAME) return undefined;
  return Buffer.from(names.take(names.number(2))).toString("latin1");
}

function hasTls13(extension: ByteReader): boolean {
  const versions = new ByteReader(extension.take(extension.number(1)));
  while (!versions.isEmpty) if (versions.number(2) === TLS_1_3) return true;
  return false;
}

const NOTHING = new Uint8Array(0);
