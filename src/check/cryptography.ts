/**
 * The parts of TLS 1.2 and 1.3 that a client needs to read a server's whole handshake: key exchange,
 * key schedules and record protection. `node:crypto` does the same on all builds, while their
 * `node:tls` reports different facts: without the chain as sent, the OCSP response or the group.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  verify,
} from "node:crypto";
import { number, type Share, vector } from "./hello.ts";
import { P_256, P_384, schemeOf, X25519 } from "./numbers.ts";

export type Hash = "sha256" | "sha384";

/** A client's key of one handshake for one group. */
export interface ExchangeKey extends Share {
  /** Returns the secret shared with the server. Throws an Error for a public key that is none. */
  readonly secret: (serverKey: Uint8Array) => Buffer;
}

const curves: Readonly<Record<number, string>> = {
  [P_256]: "prime256v1",
  [P_384]: "secp384r1",
};

/** The header of an X25519 key as SubjectPublicKeyInfo (RFC 8410 section 4). */
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");

/** Makes a key; undefined for a group that not all runtimes' `node:crypto` has, such as P-521. */
export function exchangeKey(group: number): ExchangeKey | undefined {
  if (group === X25519) {
    const { publicKey, privateKey } = generateKeyPairSync("x25519");
    const key = publicKey.export({ format: "der", type: "spki" }).subarray(X25519_SPKI.length);
    const secret = (serverKey: Uint8Array) => {
      const der = Buffer.concat([X25519_SPKI, serverKey]);
      return diffieHellman({
        privateKey,
        publicKey: createPublicKey({ key: der, format: "der", type: "spki" }),
      });
    };
    return { group, key, secret };
  }
  const curve = curves[group];
  if (curve === undefined) return undefined;
  const own = createECDH(curve);
  return { group, key: own.generateKeys(), secret: (serverKey) => own.computeSecret(serverKey) };
}

/** Whether a signature is right; undefined if this build cannot verify that kind. */
export function isSignedBy(
  key: KeyObject,
  scheme: number,
  data: Uint8Array,
  signature: Uint8Array,
): boolean | undefined {
  const known = schemeOf(scheme);
  if (!known) return undefined;
  try {
    const padding = known.padding
      ? {
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      }
      : {};
    return verify(known.digest, data, { key, ...padding }, signature);
  } catch {
    return undefined;
  }
}

export function hmac(hash: Hash, key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const made = createHmac(hash, key);
  for (const part of parts) made.update(part);
  return made.digest();
}

export function digest(hash: Hash, ...parts: readonly Uint8Array[]): Buffer {
  const made = createHash(hash);
  for (const part of parts) made.update(part);
  return made.digest();
}

/** HKDF-Expand-Label (RFC 8446 section 7.1), for at most one block of the hash. */
export function expandLabel(
  hash: Hash,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Buffer {
  const info = [number(2, length), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context)];
  return hmac(hash, secret, ...info, Buffer.of(1)).subarray(0, length);
}

/** P_hash of TLS 1.2 (RFC 5246 section 5). */
export function prf(
  hash: Hash,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Buffer {
  const start = Buffer.concat([Buffer.from(label), seed]);
  const blocks: Buffer[] = [];
  let a: Buffer = start;
  for (let made = 0; made < length; made += a.length) {
    a = hmac(hash, secret, a);
    blocks.push(hmac(hash, secret, a, start));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** A record's type and its content in the clear. */
export interface Plain {
  readonly type: number;
  readonly content: Buffer;
}

/** Encrypts the records of one direction, or decrypts them. */
export interface Protection {
  /** Returns a whole record. */
  seal(type: number, content: Uint8Array): Buffer;
  /** Returns what a record contains. Throws an Error if it is not authentic. */
  open(header: Uint8Array, payload: Buffer): Plain;
}

const TAG = 16;
const APPLICATION_DATA = 23;

/** Record protection of TLS 1.3 with AES-GCM (RFC 8446 section 5.2). */
export function protect13(hash: Hash, keyLength: number, secret: Uint8Array): Protection {
  const nothing = Buffer.alloc(0);
  const key = expandLabel(hash, secret, "key", nothing, keyLength);
  const iv = expandLabel(hash, secret, "iv", nothing, 12);
  const name = cipherOf(keyLength);
  let sequence = 0;
  const nonce = () => {
    const bytes = Buffer.from(iv);
    const counter = Buffer.concat([Buffer.alloc(6), number(6, sequence++)]);
    for (const [i, byte] of counter.entries()) bytes[i]! ^= byte;
    return bytes;
  };
  return {
    seal(type, content) {
      const inner = Buffer.concat([content, Buffer.of(type)]);
      const header = Buffer.concat([
        Buffer.of(APPLICATION_DATA, 3, 3),
        number(2, inner.length + TAG),
      ]);
      return Buffer.concat([header, sealed(name, key, nonce(), header, inner)]);
    },
    open(header, payload) {
      const inner = opened(name, key, nonce(), header, payload);
      let end = inner.length - 1;
      // Padding follows the type.
      while (end > 0 && inner[end] === 0) end--;
      return { type: inner[end] ?? 0, content: inner.subarray(0, end) };
    },
  };
}

/** Record protection of TLS 1.2 with AES-GCM (RFC 5288 section 3). `iv` has 4 bytes. */
export function protect12(key: Uint8Array, iv: Uint8Array): Protection {
  const name = cipherOf(key.length);
  let sequence = 0;
  const additional = (type: number, length: number) =>
    Buffer.concat([number(2, 0), number(6, sequence++), Buffer.of(type, 3, 3), number(2, length)]);
  return {
    seal(type, content) {
      const explicit = Buffer.concat([number(2, 0), number(6, sequence)]);
      const nonce = Buffer.concat([iv, explicit]);
      const body = sealed(name, key, nonce, additional(type, content.length), content);
      return Buffer.concat([Buffer.of(type, 3, 3), vector(2, explicit, body)]);
    },
    open(header, payload) {
      const [type] = header;
      const nonce = Buffer.concat([iv, payload.subarray(0, 8)]);
      const body = payload.subarray(8);
      return {
        type: type!,
        content: opened(name, key, nonce, additional(type!, body.length - TAG), body),
      };
    },
  };
}

function cipherOf(keyLength: number): "aes-128-gcm" | "aes-256-gcm" {
  return keyLength === 16 ? "aes-128-gcm" : "aes-256-gcm";
}

type Gcm = ReturnType<typeof cipherOf>;

function sealed(
  name: Gcm,
  key: Uint8Array,
  nonce: Uint8Array,
  additional: Uint8Array,
  content: Uint8Array,
): Buffer {
  const cipher = createCipheriv(name, key, nonce);
  cipher.setAAD(additional);
  return Buffer.concat([cipher.update(content), cipher.final(), cipher.getAuthTag()]);
}

function opened(
  name: Gcm,
  key: Uint8Array,
  nonce: Uint8Array,
  additional: Uint8Array,
  payload: Buffer,
): Buffer {
  if (payload.length < TAG) throw new RangeError("the record is too short");
  const cipher = createDecipheriv(name, key, nonce, { authTagLength: TAG });
  cipher.setAAD(additional);
  cipher.setAuthTag(payload.subarray(-TAG));
  return Buffer.concat([cipher.update(payload.subarray(0, -TAG)), cipher.final()]);
}
