/**
 * A handshake with the server as far as its facts need it: complete for TLS 1.3, and for TLS 1.2 with
 * AES-GCM; for other cipher suites and versions up to the end of what the server sends in the clear.
 */
import { randomBytes } from "node:crypto";
import { digest, type ExchangeKey, exchangeKey } from "./cryptography.ts";
import { CheckFault, parsing } from "./fault.ts";
import { handshake12 } from "./handshake12.ts";
import { handshake13, pskOf } from "./handshake13.ts";
import {
  clientHello,
  type Hello,
  message,
  readServerHello,
  SERVER_HELLO,
  type ServerHello,
} from "./hello.ts";
import { ciphersWith, groupName, TLS_1_0, TLS_1_2, TLS_1_3, versionName } from "./numbers.ts";
import { type Begun, COMPLETABLE, GROUPS, type Handshake, type Offer, SCHEMES } from "./offers.ts";
import { HANDSHAKE, Records } from "./records.ts";
import type { Session, Session12, Session13 } from "./session.ts";
import type { Wire } from "./wire.ts";

/** Performs a handshake on a new connection. Rejects with a CheckFault. */
export async function handshake(wire: Wire, offer: Offer): Promise<Handshake> {
  const begun = await begin(wire, offer);
  const { server: { version, cipher }, hello } = begun;
  if (!hello.versions.includes(version) || !hello.ciphers.includes(cipher)) {
    throw new CheckFault(
      "malformed",
      `the server selected ${versionName(version)} with a cipher that was not offered for it`,
    );
  }
  if (version === TLS_1_3) return await handshake13(begun);
  if (version >= TLS_1_0) return await handshake12(begun);
  return bare(begun);
}

/** Returns the ServerHello, or the HelloRetryRequest. Rejects with a CheckFault. */
export async function serverHello(wire: Wire, offer: Offer): Promise<ServerHello> {
  return (await open(wire, offer)).server;
}

function bare({ server: { version, cipher } }: Begun): Handshake {
  return { version, cipher, chain: [], resumed: false, requestsCertificate: false };
}

async function begin(wire: Wire, offer: Offer): Promise<Begun> {
  const begun = await open(wire, offer);
  return begun.server.isRetry ? await again(begun) : begun;
}

async function open(wire: Wire, offer: Offer): Promise<Begun> {
  const records = new Records(wire);
  const groups = offer.groups ?? GROUPS;
  const has13 = offer.versions.includes(TLS_1_3);
  const keys = has13 ? groups.slice(0, 2).flatMap((group) => exchangeKey(group) ?? []) : [];
  const hello = helloOf(offer, groups, keys);
  const first = clientHello(hello);
  wire.beginStep();
  records.send(HANDSHAKE, first, Math.min(0x0301, hello.versions[0]!));
  const { server, whole } = await readHello(records);
  return { records, hello, offer, server, transcript: [first, whole], keys };
}

/** Answers a HelloRetryRequest (RFC 8446 section 4.1.4). */
async function again({ records, hello, offer, server: retry, transcript }: Begun): Promise<Begun> {
  const group = retry.group ?? hello.groups[0]!;
  const key = hello.groups.includes(group) ? exchangeKey(group) : undefined;
  if (!key) {
    throw new CheckFault(
      "unsupported",
      `the server insists on ${
        groupName(group)
      }, with which this check cannot complete a handshake`,
    );
  }
  const suite = ciphersWith(({ gcm }) => gcm?.hash === "sha384").includes(retry.cipher);
  const hash = suite ? "sha384" : "sha256";
  // The first ClientHello is replaced by its hash (section 4.4.1).
  const synthetic = message(254, digest(hash, transcript[0]!));
  const { cookie } = retry;
  records.ignoresChange = true;
  const next = { ...hello, shares: [key], ...(cookie ? { cookie } : {}) };
  const second = clientHello(next);
  records.send(HANDSHAKE, second);
  const { server, whole } = await readHello(records);
  if (server.isRetry) throw new CheckFault("malformed", "the server asked for a third ClientHello");
  return {
    ...{ records, hello: next, offer, server, keys: [key] },
    transcript: [synthetic, transcript[1]!, second, whole],
  };
}

async function readHello(records: Records): Promise<{ server: ServerHello; whole: Uint8Array }> {
  const { type, body, whole } = await records.message();
  if (type !== SERVER_HELLO) {
    throw new CheckFault("malformed", "the server's first message is no ServerHello");
  }
  return { server: parsing("ServerHello", () => readServerHello(body)), whole };
}

function helloOf(offer: Offer, groups: readonly number[], keys: readonly ExchangeKey[]): Hello {
  const { versions, serverName, alpn, resume } = offer;
  return {
    ...{ versions, alpn, groups },
    ciphers: offer.ciphers ?? COMPLETABLE,
    signatures: offer.signatures ?? SCHEMES,
    ...(serverName === undefined ? {} : { serverName }),
    random: randomBytes(32),
    shares: offer.shares ?? keys,
    ...resumption(resume, versions),
  };
}

function resumption(
  resume: Session | undefined,
  versions: readonly number[],
): Pick<Hello, "sessionId" | "ticket" | "psk"> {
  // With a session id, TLS 1.3 looks like a resumption of TLS 1.2 to boxes in between.
  const sessionId = versions.includes(TLS_1_3) ? randomBytes(32) : new Uint8Array();
  const ticket = versions.includes(TLS_1_2) ? { ticket: new Uint8Array() } : {};
  if (!resume) return { sessionId, ...ticket };
  if (resume.version === TLS_1_3) return { sessionId, psk: pskOf(resume as Session13) };
  return resume12(resume as Session12);
}

/** With a ticket, the made-up session id shows by its return that the server resumes (RFC 5077 section 3.4). */
function resume12({ sessionId, ticket }: Session12): Pick<Hello, "sessionId" | "ticket"> {
  return ticket ? { sessionId: randomBytes(32), ticket } : { sessionId, ticket: new Uint8Array() };
}
