/** A client's handshake of TLS 1.3 (RFC 8446), and its resumption. */
import { X509Certificate } from "node:crypto";
import { ByteReader } from "../base/byte_reader.ts";
import { digest, expandLabel, type Hash, hmac, isSignedBy, protect13 } from "./cryptography.ts";
import { CheckFault, parsing } from "./fault.ts";
import type { Begun, Handshake } from "./offers.ts";
import {
  ALPN,
  message,
  type OfferedPsk,
  PRE_SHARED_KEY,
  readAlpn,
  readExtensions,
  STATUS_REQUEST,
  vector,
} from "./hello.ts";
import { cipherName, suiteOf, TLS_1_3 } from "./numbers.ts";
import { CHANGE_CIPHER_SPEC, HANDSHAKE, type Message } from "./records.ts";
import type { Session13, Ticket } from "./session.ts";

/** Types of handshake messages (section 4). */
export const NEW_SESSION_TICKET = 4;
export const CERTIFICATE = 11;
export const CERTIFICATE_REQUEST = 13;
export const FINISHED = 20;
const ENCRYPTED_EXTENSIONS = 8;
const CERTIFICATE_VERIFY = 15;

const NOTHING = new Uint8Array();

/** Completes the handshake after the ServerHello; a resumption ends there. */
export async function handshake13(begun: Begun): Promise<Handshake> {
  const { records, server, keys, transcript } = begun;
  const { cipher, group, key } = server;
  const facts = {
    ...{ version: TLS_1_3, cipher, requestsCertificate: false },
    ...(group === undefined ? {} : { group }),
  };
  if (server.extensions.has(PRE_SHARED_KEY)) {
    if (!begun.hello.psk) {
      throw new CheckFault("malformed", "the server resumed no session of ours");
    }
    return { ...facts, chain: [], resumed: true };
  }
  const own = keys.find((each) => each.group === group);
  const { gcm } = suiteOf(cipher)!;
  if (!gcm) {
    throw new CheckFault(
      "unsupported",
      `the server insists on ${
        cipherName(cipher)
      }, with which this check cannot complete a handshake`,
    );
  }
  if (!own || !key) {
    throw new CheckFault("malformed", "the server's key exchange does not fit the ClientHello");
  }
  const { hash, keyLength } = gcm;
  const shared = parsing("public key", () => own.secret(key));
  const zeros = new Uint8Array(digest(hash).length);
  const early = hmac(hash, zeros, zeros);
  const secret = hmac(hash, derived(hash, early), shared);
  const traffic = (base: Uint8Array, label: string) =>
    expandLabel(hash, base, label, digest(hash, ...transcript), zeros.length);
  const clientSecret = traffic(secret, "c hs traffic");
  const serverSecret = traffic(secret, "s hs traffic");
  records.ignoresChange = true;
  records.incoming = protect13(hash, keyLength, serverSecret);

  const flight = await serverFlight(begun, hash, serverSecret);
  const master = hmac(hash, derived(hash, secret), zeros);
  records.incoming = protect13(hash, keyLength, traffic(master, "s ap traffic"));
  const next = traffic(master, "c ap traffic");

  records.send(CHANGE_CIPHER_SPEC, Buffer.of(1));
  records.outgoing = protect13(hash, keyLength, clientSecret);
  const send = (sent: Buffer) => {
    transcript.push(sent);
    records.send(HANDSHAKE, sent);
  };
  if (flight.context) send(message(CERTIFICATE, vector(1, flight.context), vector(3)));
  send(message(FINISHED, finished(hash, clientSecret, transcript)));
  records.outgoing = protect13(hash, keyLength, next);
  const session: Session13 = {
    ...{ version: TLS_1_3, records, hash, tickets: [] },
    resumptionSecret: traffic(master, "res master"),
  };
  return {
    ...facts,
    ...flight.facts,
    requestsCertificate: flight.context !== undefined,
    resumed: false,
    session,
  };
}

interface Flight {
  readonly facts: Pick<Handshake, "alpn" | "chain" | "staple" | "signature" | "isSigned">;
  /** Of a CertificateRequest. */
  readonly context?: Uint8Array;
}

/** Reads from EncryptedExtensions to Finished, each at most once and in this order (section 4). */
async function serverFlight(
  { records, transcript }: Begun,
  hash: Hash,
  secret: Uint8Array,
): Promise<Flight> {
  const next = async () => {
    const message = await records.message();
    transcript.push(message.whole);
    return message;
  };
  const extensions = expect(await next(), ENCRYPTED_EXTENSIONS);
  const alpn = parsing(
    "EncryptedExtensions",
    () => readAlpn(readExtensions(new ByteReader(extensions.body)).get(ALPN)),
  );
  let message = await next();
  let context;
  if (message.type === CERTIFICATE_REQUEST) {
    const { body } = message;
    context = parsing("CertificateRequest", () => body.subarray(1, 1 + (body[0] ?? 0)));
    message = await next();
  }
  const { body } = expect(message, CERTIFICATE);
  const { chain, staple } = parsing("Certificate", () => readCertificate13(body));
  const signed = Buffer.concat([
    Buffer.alloc(64, 0x20),
    Buffer.from("TLS 1.3, server CertificateVerify\0"),
    digest(hash, ...transcript),
  ]);
  const proof = expect(await next(), CERTIFICATE_VERIFY);
  const { scheme, signature } = parsing("CertificateVerify", () => readSignature(proof.body));
  const isSigned = signedByLeaf(chain, scheme, signed, signature);
  const verifyData = finished(hash, secret, transcript);
  const end = expect(await next(), FINISHED);
  if (!verifyData.equals(end.body)) {
    throw new CheckFault("malformed", "the server's Finished message is wrong");
  }
  return {
    facts: {
      ...{ chain, signature: scheme },
      ...(alpn === undefined ? {} : { alpn }),
      ...(staple ? { staple } : {}),
      ...(isSigned === undefined ? {} : { isSigned }),
    },
    ...(context ? { context } : {}),
  };
}

function expect(message: Message, type: number): Message {
  if (message.type === type) return message;
  throw new CheckFault(
    "malformed",
    `the server sent handshake message ${message.type} where ${type} belongs`,
  );
}

function readCertificate13(body: Uint8Array): Pick<Handshake, "chain" | "staple"> {
  const fields = new ByteReader(body);
  fields.take(fields.number(1));
  const list = new ByteReader(fields.take(fields.number(3)));
  const chain: Uint8Array[] = [];
  let staple;
  while (!list.isEmpty) {
    chain.push(list.take(list.number(3)));
    const status = readExtensions(list).get(STATUS_REQUEST);
    if (status && chain.length === 1) staple = readStaple(status);
  }
  return { chain, ...(staple ? { staple } : {}) };
}

/** Returns the OCSP response of a CertificateStatus (RFC 6066 section 8). Throws a RangeError. */
export function readStaple(status: Uint8Array): Uint8Array | undefined {
  const fields = new ByteReader(status);
  if (fields.number(1) !== 1) return undefined;
  return fields.take(fields.number(3));
}

/** Returns the scheme and the signature at the end of a message. Throws a RangeError. */
export function readSignature(
  bytes: Uint8Array,
): { readonly scheme: number; readonly signature: Uint8Array } {
  const fields = new ByteReader(bytes);
  return { scheme: fields.number(2), signature: fields.take(fields.number(2)) };
}

/** Whether the first certificate's key made a signature; undefined if that is not known. */
export function signedByLeaf(
  [leaf]: readonly Uint8Array[],
  scheme: number,
  data: Uint8Array,
  signature: Uint8Array,
): boolean | undefined {
  if (!leaf) return undefined;
  try {
    return isSignedBy(new X509Certificate(leaf).publicKey, scheme, data, signature);
  } catch {
    // What is wrong with the certificate is reported elsewhere.
    return undefined;
  }
}

/** Parses a ticket. Throws a RangeError. */
export function readTicket(body: Uint8Array): Ticket {
  const fields = new ByteReader(body);
  const [lifetime, ageAdd] = [fields.number(4), fields.number(4)];
  const nonce = fields.take(fields.number(1));
  return {
    ...{ lifetime, ageAdd, nonce },
    identity: fields.take(fields.number(2)),
    received: performance.now(),
  };
}

/** Returns the offer to resume with the newest ticket, which is then used (section C.4). */
export function pskOf({ hash, resumptionSecret, tickets }: Session13): OfferedPsk {
  const { identity, nonce, ageAdd, received } = tickets.length > 1 ? tickets.pop()! : tickets[0]!;
  const length = digest(hash).length;
  const psk = expandLabel(hash, resumptionSecret, "resumption", nonce, length);
  const early = hmac(hash, new Uint8Array(length), psk);
  const key = expandLabel(hash, early, "res binder", digest(hash), length);
  return {
    identity,
    age: (Math.round(performance.now() - received) + ageAdd) % 2 ** 32,
    binderLength: length,
    binder: (truncated) => finished(hash, key, [truncated]),
  };
}

function derived(hash: Hash, secret: Uint8Array): Buffer {
  return expandLabel(hash, secret, "derived", digest(hash), digest(hash).length);
}

/** The verify_data of a Finished message, or a binder (section 4.4.4). */
function finished(hash: Hash, secret: Uint8Array, transcript: readonly Uint8Array[]): Buffer {
  const key = expandLabel(hash, secret, "finished", NOTHING, digest(hash).length);
  return hmac(hash, key, digest(hash, ...transcript));
}
