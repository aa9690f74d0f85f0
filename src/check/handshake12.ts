/** A client's handshake of TLS 1.2 (RFC 5246), and the clear part of TLS 1.1 and 1.0. */
import { constants, publicEncrypt, randomBytes, X509Certificate } from "node:crypto";
import { ByteReader } from "../base/byte_reader.ts";
import { digest, exchangeKey, type Hash, prf, protect12 } from "./cryptography.ts";
import { CheckFault, parsing } from "./fault.ts";
import { type Begun, COMPLETABLE, GROUPS, type Handshake } from "./offers.ts";
import {
  CERTIFICATE,
  CERTIFICATE_REQUEST,
  FINISHED,
  NEW_SESSION_TICKET,
  readSignature,
  readStaple,
  signedByLeaf,
} from "./handshake13.ts";
import { ALPN, EXTENDED_MASTER_SECRET, message, number, readAlpn, vector } from "./hello.ts";
import { type Suite, suiteOf, TLS_1_2 } from "./numbers.ts";
import { ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, type Message } from "./records.ts";
import type { Session12 } from "./session.ts";

const SERVER_KEY_EXCHANGE = 12;
const SERVER_HELLO_DONE = 14;
const CLIENT_KEY_EXCHANGE = 16;
const CERTIFICATE_STATUS = 22;

const NAMED_CURVE = 3;

/** The server's messages after its ServerHello, by type. */
type Flight = ReadonlyMap<number, Message>;

/** Goes on after the ServerHello. */
export async function handshake12(begun: Begun): Promise<Handshake> {
  const { records, server, transcript, hello } = begun;
  const { version, cipher, extensions } = server;
  const alpn = parsing("ServerHello", () => readAlpn(extensions.get(ALPN)));
  const facts = { version, cipher, ...(alpn === undefined ? {} : { alpn }) };
  const isOurs = hello.sessionId.length > 0 &&
    Buffer.compare(hello.sessionId, server.sessionId) === 0;
  if (begun.offer.resume && isOurs) {
    // An end without it makes servers forget the session (RFC 5246 section 7.2.2).
    records.send(ALERT, Buffer.of(1, 0));
    return { ...facts, chain: [], resumed: true, requestsCertificate: false };
  }
  const flight = new Map<number, Message>();
  while (!flight.has(SERVER_HELLO_DONE)) {
    const next = await records.message();
    if (!FLIGHT.has(next.type) || flight.has(next.type)) {
      throw new CheckFault(
        "malformed",
        `the server sent handshake message ${next.type} in between`,
      );
    }
    flight.set(next.type, next);
    transcript.push(next.whole);
  }
  const chain = parsing("Certificate", () => readChain(flight.get(CERTIFICATE)?.body));
  const status = flight.get(CERTIFICATE_STATUS);
  const staple = status && parsing("CertificateStatus", () => readStaple(status.body));
  const exchange = parsing("ServerKeyExchange", () => readExchange(flight, begun));
  const suite = suiteOf(cipher)!;
  const isUsable = COMPLETABLE.includes(cipher) && (!exchange || GROUPS.includes(exchange.group));
  const requestsCertificate = flight.has(CERTIFICATE_REQUEST);
  let requiresCertificate = false;
  const session = version === TLS_1_2 && isUsable
    ? await complete(begun, suite, flight, chain, exchange).catch((error) => {
      requiresCertificate = requestsCertificate && error instanceof CheckFault &&
        ["alert", "closed", "reset"].includes(error.kind);
      if (!requiresCertificate) throw error;
    })
    : undefined;
  return {
    ...{ ...facts, chain, ...(staple ? { staple } : {}) },
    ...(exchange ? { group: exchange.group } : {}),
    ...proofOf(begun, chain, exchange),
    resumed: false,
    ...{ requestsCertificate, ...(requiresCertificate ? { requiresCertificate } : {}) },
    ...(session ? { session } : {}),
  };
}

const FLIGHT = new Set([
  CERTIFICATE,
  CERTIFICATE_STATUS,
  SERVER_KEY_EXCHANGE,
  CERTIFICATE_REQUEST,
  SERVER_HELLO_DONE,
]);

function readChain(body: Uint8Array | undefined): Uint8Array[] {
  if (!body) return [];
  const fields = new ByteReader(body);
  const list = new ByteReader(fields.take(fields.number(3)));
  const chain: Uint8Array[] = [];
  while (!list.isEmpty) chain.push(list.take(list.number(3)));
  return chain;
}

/** The parameters of an ephemeral key on a named curve (RFC 8422 section 5.4). */
interface Exchange {
  readonly group: number;
  readonly key: Uint8Array;
  readonly parameters: Uint8Array;
  readonly proof?: ReturnType<typeof readSignature>;
}

function readExchange(flight: Flight, { server, hello }: Begun): Exchange | undefined {
  const body = flight.get(SERVER_KEY_EXCHANGE)?.body;
  if (!body || suiteOf(server.cipher)?.exchange !== "ECDHE") return undefined;
  const fields = new ByteReader(body);
  if (fields.number(1) !== NAMED_CURVE) throw new RangeError("not a named curve");
  const group = fields.number(2);
  if (!hello.groups.includes(group)) throw new RangeError("not an offered group");
  const key = fields.take(fields.number(1));
  const parameters = body.subarray(0, 4 + key.length);
  const found = { group, key, parameters };
  // Older versions do not name the scheme.
  if (server.version !== TLS_1_2) return found;
  return { ...found, proof: readSignature(body.subarray(parameters.length)) };
}

function proofOf(
  { hello, server }: Begun,
  chain: readonly Uint8Array[],
  exchange: Exchange | undefined,
): Pick<Handshake, "signature" | "isSigned"> {
  if (!exchange?.proof) return {};
  const { proof: { scheme, signature }, parameters } = exchange;
  const data = Buffer.concat([hello.random, server.random, parameters]);
  const isSigned = signedByLeaf(chain, scheme, data, signature);
  return { signature: scheme, ...(isSigned === undefined ? {} : { isSigned }) };
}

/** Sends the client's flight and reads the server's last one. */
async function complete(
  { records, hello, server, transcript }: Begun,
  { gcm }: Suite,
  flight: Flight,
  chain: readonly Uint8Array[],
  exchange: Exchange | undefined,
): Promise<Session12> {
  const { hash, keyLength } = gcm!;
  const send = (sent: Buffer) => {
    transcript.push(sent);
    records.send(HANDSHAKE, sent);
  };
  if (flight.has(CERTIFICATE_REQUEST)) send(message(CERTIFICATE, vector(3)));
  const { secret, sent } = parsing("public key", () => keyExchange(chain, exchange));
  send(message(CLIENT_KEY_EXCHANGE, sent));
  const randoms = Buffer.concat([hello.random, server.random]);
  // RFC 7627 section 4.
  const master = server.extensions.has(EXTENDED_MASTER_SECRET)
    ? prf(hash, secret, "extended master secret", digest(hash, ...transcript), 48)
    : prf(hash, secret, "master secret", randoms, 48);
  const seed = Buffer.concat([server.random, hello.random]);
  const block = prf(hash, master, "key expansion", seed, 2 * keyLength + 8);
  const key = (i: number) => block.subarray(i * keyLength, (i + 1) * keyLength);
  const iv = (i: number) => block.subarray(2 * keyLength + 4 * i, 2 * keyLength + 4 * (i + 1));

  records.send(CHANGE_CIPHER_SPEC, Buffer.of(1));
  records.outgoing = protect12(key(0), iv(0));
  send(message(FINISHED, verifyData(hash, master, "client finished", transcript)));
  const ticket = await lastFlight(transcript);
  return {
    ...{ version: TLS_1_2, records, sessionId: server.sessionId },
    ...(ticket && ticket.length > 0 ? { ticket } : {}),
  };

  async function lastFlight(transcript: Uint8Array[]): Promise<Uint8Array | undefined> {
    let ticket;
    for (;;) {
      const { type, content } = await records.next();
      if (type === CHANGE_CIPHER_SPEC) break;
      const next = type === HANDSHAKE ? records.taken(content) : undefined;
      // A message can fill several records.
      if (type === HANDSHAKE && !next) continue;
      if (next?.type !== NEW_SESSION_TICKET || ticket) {
        throw new CheckFault("malformed", "the server's last messages are not in order");
      }
      transcript.push(next.whole);
      ticket = parsing("NewSessionTicket", () => {
        const fields = new ByteReader(next.body);
        fields.number(4);
        return fields.take(fields.number(2));
      });
    }
    records.incoming = protect12(key(1), iv(1));
    const { type, body } = await records.message();
    const expected = verifyData(hash, master, "server finished", transcript);
    if (type !== FINISHED || !expected.equals(body)) {
      throw new CheckFault("malformed", "the server's Finished message is wrong");
    }
    return ticket;
  }
}

/** The premaster secret, and the body of the ClientKeyExchange. */
function keyExchange(
  [leaf]: readonly Uint8Array[],
  exchange: Exchange | undefined,
): { readonly secret: Buffer; readonly sent: Buffer } {
  if (exchange) {
    const own = exchangeKey(exchange.group)!;
    return { secret: own.secret(exchange.key), sent: vector(1, own.key) };
  }
  const secret = Buffer.concat([number(2, TLS_1_2), randomBytes(46)]);
  const key = new X509Certificate(leaf!).publicKey;
  return {
    secret,
    sent: vector(2, publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, secret)),
  };
}

function verifyData(
  hash: Hash,
  master: Uint8Array,
  label: string,
  transcript: readonly Uint8Array[],
): Buffer {
  return prf(hash, master, label, digest(hash, ...transcript), 12);
}
