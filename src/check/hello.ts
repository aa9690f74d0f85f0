/** Writes ClientHellos and reads ServerHellos (RFC 8446 section 4.1, RFC 5246 section 7.4.1). */
import { createHash } from "node:crypto";
import { ByteReader } from "../base/byte_reader.ts";
import { TLS_1_2, TLS_1_3 } from "./numbers.ts";

/** A client's public key for one group. */
export interface Share {
  readonly group: number;
  readonly key: Uint8Array;
}

/** What a ClientHello offers. */
export interface Hello {
  /** Most preferred first. */
  readonly versions: readonly number[];
  readonly ciphers: readonly number[];
  readonly groups: readonly number[];
  readonly signatures: readonly number[];
  /** None: no SNI. */
  readonly serverName?: string;
  readonly alpn: readonly string[];
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  /** For TLS 1.3. */
  readonly shares: readonly Share[];
  /** Of a HelloRetryRequest. */
  readonly cookie?: Uint8Array;
  /** A session ticket of TLS 1.2; empty: only that tickets are accepted. */
  readonly ticket?: Uint8Array;
  /** A session of TLS 1.3 to resume. */
  readonly psk?: OfferedPsk;
}

export interface OfferedPsk {
  readonly identity: Uint8Array;
  /** Obfuscated, in milliseconds modulo 2^32. */
  readonly age: number;
  readonly binderLength: number;
  /** Computes the binder of a hello without its binders. */
  readonly binder: (truncated: Uint8Array) => Uint8Array;
}

/** Extensions by number. */
export const STATUS_REQUEST = 5;
export const ALPN = 16;
export const EXTENDED_MASTER_SECRET = 23;
export const SESSION_TICKET = 35;
export const PRE_SHARED_KEY = 41;
const SERVER_NAME = 0;
const SUPPORTED_GROUPS = 10;
const EC_POINT_FORMATS = 11;
const SIGNATURE_ALGORITHMS = 13;
const SUPPORTED_VERSIONS = 43;
const COOKIE = 44;
const PSK_MODES = 45;
const KEY_SHARE = 51;
const RENEGOTIATION_INFO = 0xff01;

export const CLIENT_HELLO = 1;
export const SERVER_HELLO = 2;

/** Returns a whole handshake message. */
export function clientHello(hello: Hello): Buffer {
  const [newest = TLS_1_2] = hello.versions;
  const body = [
    number(2, Math.min(newest, TLS_1_2)),
    hello.random,
    vector(1, hello.sessionId),
    vector(2, ...hello.ciphers.map((each) => number(2, each))),
    vector(1, number(1, 0)),
  ];
  const extensions = extensionsOf(hello);
  if (!hello.psk) return message(CLIENT_HELLO, ...body, vector(2, ...extensions));
  const { identity, age, binderLength, binder } = hello.psk;
  const identities = vector(2, vector(2, identity), number(4, age));
  const binders = (value: Uint8Array) => vector(2, vector(1, value));
  const withBinders = (value: Uint8Array) =>
    message(
      CLIENT_HELLO,
      ...body,
      vector(2, ...extensions, extension(PRE_SHARED_KEY, identities, binders(value))),
    );
  const dummy = new Uint8Array(binderLength);
  const whole = withBinders(dummy);
  return withBinders(binder(whole.subarray(0, whole.length - binders(dummy).length)));
}

function extensionsOf(hello: Hello): Buffer[] {
  const { versions, serverName, alpn, groups, signatures, shares, cookie, ticket } = hello;
  // TLS 1.0 and 1.1 have no signature algorithms.
  const isModern = versions.some((version) => version >= TLS_1_2);
  const has13 = versions.includes(TLS_1_3);
  const name = Buffer.from(serverName ?? "", "latin1");
  return [
    ...serverName === undefined
      ? []
      : [extension(SERVER_NAME, vector(2, number(1, 0), vector(2, name)))],
    extension(STATUS_REQUEST, number(1, 1), number(2, 0), number(2, 0)),
    extension(SUPPORTED_GROUPS, vector(2, ...groups.map((each) => number(2, each)))),
    extension(EC_POINT_FORMATS, vector(1, number(1, 0))),
    ...isModern
      ? [extension(SIGNATURE_ALGORITHMS, vector(2, ...signatures.map((each) => number(2, each))))]
      : [],
    ...alpn.length === 0
      ? []
      : [extension(ALPN, vector(2, ...alpn.map((each) => vector(1, Buffer.from(each, "latin1")))))],
    extension(EXTENDED_MASTER_SECRET),
    ...ticket ? [extension(SESSION_TICKET, ticket)] : [],
    extension(RENEGOTIATION_INFO, vector(1)),
    ...has13
      ? [
        extension(SUPPORTED_VERSIONS, vector(1, ...versions.map((each) => number(2, each)))),
        extension(PSK_MODES, vector(1, number(1, 1))),
        extension(
          KEY_SHARE,
          vector(
            2,
            ...shares.map(({ group, key }) => Buffer.concat([number(2, group), vector(2, key)])),
          ),
        ),
        ...cookie ? [extension(COOKIE, vector(2, cookie))] : [],
      ]
      : [],
  ];
}

/** What a server selected. */
export interface ServerHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipher: number;
  /** It asks for another ClientHello, with a key for `group`, and with `cookie`. */
  readonly isRetry: boolean;
  readonly group?: number;
  /** The server's public key for the group. */
  readonly key?: Uint8Array;
  readonly cookie?: Uint8Array;
  readonly extensions: ReadonlyMap<number, Uint8Array>;
}

/** The random of a HelloRetryRequest (RFC 8446 section 4.1.3). */
const RETRY = createHash("sha256").update("HelloRetryRequest").digest();

/** Parses the body of a ServerHello. Throws a RangeError. */
export function readServerHello(body: Uint8Array): ServerHello {
  const fields = new ByteReader(body);
  const legacyVersion = fields.number(2);
  const random = fields.take(32);
  const sessionId = fields.take(fields.number(1));
  const cipher = fields.number(2);
  fields.take(1);
  const extensions = readExtensions(fields);
  const selected = extensions.get(SUPPORTED_VERSIONS);
  const version = selected ? new ByteReader(selected).number(2) : legacyVersion;
  const isRetry = RETRY.equals(random);
  const share = extensions.get(KEY_SHARE);
  const shared = share && new ByteReader(share);
  const group = shared?.number(2);
  const key = !shared || isRetry ? undefined : shared.take(shared.number(2));
  const cookie = extensions.get(COOKIE);
  return {
    ...{ version, random, sessionId, cipher, isRetry, extensions },
    ...(group === undefined ? {} : { group }),
    ...(key ? { key } : {}),
    ...(cookie ? { cookie: vectorIn(cookie, 2) } : {}),
  };
}

/** Reads a list of extensions; none if the message ends before it. Throws a RangeError. */
export function readExtensions(fields: ByteReader): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  if (fields.isEmpty) return found;
  const list = new ByteReader(fields.take(fields.number(2)));
  while (!list.isEmpty) found.set(list.number(2), list.take(list.number(2)));
  return found;
}

/** Returns the protocol that a server selected. Throws a RangeError. */
export function readAlpn(extension: Uint8Array | undefined): string | undefined {
  if (!extension) return undefined;
  return Buffer.from(vectorIn(vectorIn(extension, 2), 1)).toString("latin1");
}

function vectorIn(bytes: Uint8Array, width: number): Uint8Array {
  const fields = new ByteReader(bytes);
  return fields.take(fields.number(width));
}

/** Returns a handshake message with its header. */
export function message(type: number, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([number(1, type), vector(3, ...parts)]);
}

/** Returns a vector: the length of the parts in `width` bytes, and the parts. */
export function vector(width: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([number(width, content.length), content]);
}

/** Returns a number in `width` bytes, at most 6. */
export function number(width: number, value: number): Buffer {
  const bytes = Buffer.alloc(width);
  bytes.writeUIntBE(value, 0, width);
  return bytes;
}

function extension(type: number, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([number(2, type), vector(2, ...parts)]);
}
