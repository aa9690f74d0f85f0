/** Small questions to a server, each on connections of its own. Only a bug makes them reject. */
import { randomBytes } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import type { Connector } from "./connector.ts";
import { exchangeKey } from "./cryptography.ts";
import type { Facts, Known, NameAnswer, Resumption } from "./facts.ts";
import { CheckFault } from "./fault.ts";
import { handshake, serverHello } from "./handshake.ts";
import {
  ciphersWith,
  P_256,
  P_384,
  schemesWith,
  SSL_3_0,
  TLS_1_0,
  TLS_1_1,
  TLS_1_2,
  TLS_1_3,
  X25519,
  X25519_MLKEM768,
} from "./numbers.ts";
import { ALL_CIPHERS, GROUPS, type Handshake, type Offer } from "./offers.ts";
import type { Session } from "./session.ts";

/** Answers that mean no, rather than that nothing is known. */
const REFUSALS = new Set(["alert", "closed", "reset"]);

/** Returns which versions the server offers; `best` is the one that it selected. */
export function offeredVersions(
  connector: Connector,
  offer: Offer,
  best: number,
): Promise<Facts["versions"]> {
  return Promise.all(
    [TLS_1_3, TLS_1_2, TLS_1_1, TLS_1_0, SSL_3_0].map(async (version) => ({
      version,
      offered: version === best
        ? { value: true }
        // A server that has TLS 1.3 would have selected it.
        : version === TLS_1_3 && best === TLS_1_2
        ? { value: false }
        : await accepts(connector, { ...offer, versions: [version], ciphers: ALL_CIPHERS }),
    })),
  );
}

async function accepts(connector: Connector, offer: Offer): Promise<Known<boolean>> {
  const answer = await asked(connector, offer);
  if ("unknown" in answer) return answer;
  return { value: answer.value?.version === offer.versions[0] };
}

/**
 * Returns the group that the server selects if it has the choice between post-quantum ones and others.
 */
export async function modernGroup(connector: Connector, offer: Offer): Promise<Known<number>> {
  const x25519 = exchangeKey(X25519)!;
  const answer = await asked(connector, {
    ...offer,
    versions: [TLS_1_3, TLS_1_2],
    ciphers: ciphersWith(({ exchange }) => exchange === "1.3" || exchange === "ECDHE"),
    groups: [X25519_MLKEM768, X25519, P_256, P_384],
    shares: [{ group: X25519_MLKEM768, key: hybridKey(x25519.key) }, x25519],
  });
  if ("unknown" in answer) return answer;
  return answer.value?.group === undefined
    ? { unknown: "TLS 1.3 is not offered" }
    : { value: answer.value.group };
}

/** Bytes of an ML-KEM-768 key: its vector, and the seed of its matrix (FIPS 203 section 8). */
const VECTOR = 1152;
const SEED = 32;

/**
 * A valid public key of X25519MLKEM768, which nobody has the private key of: only the server's choice
 * is of interest, and not all runtimes have ML-KEM.
 */
function hybridKey(x25519: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.alloc(VECTOR), randomBytes(SEED), x25519]);
}

/** Returns an obsolete cipher (RFC 7465, RFC 8996) that the server accepts, 0 if it accepts none. */
export async function obsoleteCipher(connector: Connector, offer: Offer): Promise<Known<number>> {
  const ciphers = ciphersWith(({ name }) => name === "DES-CBC3-SHA" || name === "RC4-SHA");
  const answer = await asked(connector, { ...offer, versions: [TLS_1_2], ciphers });
  if ("unknown" in answer) return answer;
  const cipher = answer.value?.cipher ?? 0;
  return { value: ciphers.includes(cipher) ? cipher : 0 };
}

/** Returns the ServerHello, undefined if the server refuses. */
async function asked(connector: Connector, offer: Offer) {
  try {
    return { value: await connector.run((wire) => serverHello(wire, offer)) };
  } catch (error) {
    return orUnknown(error, ({ kind }) => REFUSALS.has(kind) ? { value: undefined } : undefined);
  }
}

/** Returns how the server answers with another name than the offer's; undefined: without any. */
export async function answerTo(
  connector: Connector,
  { serverName: _, ...offer }: Offer,
  serverName: string | undefined,
  own: Handshake,
): Promise<NameAnswer> {
  try {
    const asked = serverName === undefined ? offer : { ...offer, serverName };
    const { chain: [leaf] } = await connector.run((wire) => handshake(wire, asked));
    if (!leaf) return { unknown: "the server sent no certificate" };
    return { value: { leaf, isSame: Buffer.compare(leaf, own.chain[0] ?? leaf) === 0 } };
  } catch (error) {
    return orUnknown(error, ({ alert }) => alert === undefined ? undefined : { value: { alert } });
  }
}

/** Returns the handshake of a client that accepts only the other kind of key, RSA or ECDSA. */
export async function otherKeyKind(
  connector: Connector,
  offer: Offer,
  leaf: Certificate | undefined,
): Promise<Handshake | undefined> {
  const kind = leaf?.key.startsWith("RSA") ? "ec" : "rsa";
  const authentication = kind === "ec" ? "ECDSA" : "RSA";
  const ciphers = ciphersWith(({ name, exchange, gcm }) =>
    exchange === "1.3" ? gcm : exchange === "ECDHE" && gcm && name.includes(authentication)
  );
  const signatures = schemesWith(({ key }) => key === kind);
  try {
    const made = await connector.run((wire) => handshake(wire, { ...offer, ciphers, signatures }));
    const isOther = leaf && made.chain[0] && Buffer.compare(made.chain[0], leaf.der) !== 0;
    return isOther ? made : undefined;
  } catch (error) {
    // Most servers have one certificate.
    if (error instanceof CheckFault) return undefined;
    throw error;
  }
}

/** How often resumption is tried, in each version. */
const TRIES = 3;

/**
 * Tries to resume a session several times, since not every process or machine behind
 * one address may know it. A ticket of TLS 1.3 is used once.
 */
export async function resumption(
  connector: Connector,
  offer: Offer,
  session: Session,
  group: number | undefined,
): Promise<Resumption> {
  const isNew = session.version === TLS_1_3;
  const tickets = isNew ? session.tickets.length : 0;
  const by = isNew
    ? tickets > 0 ? "ticket" : ""
    : session.ticket
    ? "ticket"
    : session.sessionId.length > 0
    ? "session id"
    : "";
  if (by === "") return { value: { by, tries: 0, resumed: 0 } };
  const tries = isNew ? Math.min(TRIES, tickets) : TRIES;
  let resumed = 0;
  // The first one is the group that needs no HelloRetryRequest.
  const groups = [...new Set([group ?? GROUPS[0]!, ...GROUPS])];
  for (let i = 0; i < tries; i++) {
    const again = { ...offer, versions: [session.version], groups, resume: session };
    try {
      const made = await connector.run((wire) => handshake(wire, again));
      if (made.resumed) resumed++;
    } catch (error) {
      if (!(error instanceof CheckFault)) throw error;
      if (!REFUSALS.has(error.kind)) return { unknown: error.message };
    }
  }
  return { value: { by, tries, resumed } };
}

/** Returns what a fault means; what it does not say is unknown. Rethrows other errors. */
function orUnknown<T>(
  error: unknown,
  meaning: (fault: CheckFault) => T | undefined,
): T | { readonly unknown: string } {
  if (!(error instanceof CheckFault)) throw error;
  return meaning(error) ?? { unknown: error.message };
}
