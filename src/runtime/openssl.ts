/**
 * What Bun and Node have in common: both speak of TLS settings in the words of node:tls, with
 * BoringSSL or OpenSSL below.
 */
import { pemSections, pemText } from "../base/pem.ts";
import { constants } from "node:crypto";
import { createSecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import { raise } from "../base/raise.ts";
import type {
  Identity,
  Protocol,
  TicketAnswer,
  TlsFacts,
  TlsParameters,
  TlsSettings,
} from "./tls.ts";

/** All versions that either library speaks, oldest first. */
export const protocols: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** What a server presents, in the words of node:tls; ciphers are left to the adapter. */
export function serverOptions(
  settings: Pick<TlsSettings, keyof TlsParameters | "sessionTimeout" | "tickets">,
  { certificates, verify }: Identity,
): SecureContextOptions {
  return {
    ...parameterOptions(settings),
    cert: certificates.map(({ chain }) => chain),
    key: certificates.map(({ key }) => key),
    // Without roots of our own, BoringSSL would look for files in /etc/ssl/certs at each
    // handshake, and Node parse all public roots in each worker.
    ca: verify?.ca ?? certificates[0]!.chain,
    ...(verify?.crl ? { crl: crls(verify.crl) } : {}),
    // The default is a hash of argv, which differs from worker to worker.
    sessionIdContext: "stud",
    sessionTimeout: settings.sessionTimeout,
    secureOptions: secureOptions(settings.protocols) | constants.SSL_OP_NO_RENEGOTIATION |
      (settings.tickets ? 0 : constants.SSL_OP_NO_TICKET),
  };
}

/** OpenSSL's SSL_CTX as Node shows it, UNDOCUMENTED. Bun has the same object without these. */
export interface TicketContext {
  /** After `enableTicketKeyCallback`. An answer of another form ends the process. */
  onticketkeycallback(name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer;
  enableTicketKeyCallback(): void;
}

/** Whether this runtime asks for ticket keys. */
export function asksForTicketKeys(): boolean {
  return "enableTicketKeyCallback" in createSecureContext({ ca: [] }).context;
}

/** Makes and reads the tickets of a context by the keys of its settings, where there are any; `policy` is theirs. */
export function answerForTickets(
  context: TicketContext,
  { ticketKeys }: Pick<TlsSettings, "ticketKeys">,
  policy: string,
): void {
  if (!ticketKeys) return;
  context.onticketkeycallback = (name, iv, isNew) => {
    try {
      return ticketKeys.answer(policy, name, iv, isNew);
    } catch (error) {
      raise(error);
      // No ticket, neither read nor made.
      return [0, NO_KEY, NO_KEY, name, iv];
    }
  };
  context.enableTicketKeyCallback();
}

const NO_KEY = Buffer.alloc(16);

/** Versions, groups and whose order counts, in the words of node:tls. */
export function parameterOptions(settings: TlsParameters): SecureContextOptions {
  return {
    minVersion: nodeVersion(settings.protocols.at(0)!),
    maxVersion: nodeVersion(settings.protocols.at(-1)!),
    secureOptions: secureOptions(settings.protocols),
    honorCipherOrder: settings.preferServerCiphers,
    ...(settings.curves === "" ? {} : { ecdhCurve: settings.curves }),
  };
}

/**
 * The items of the OpenSSL cipher list of `settings`, or of the default for TLS 1.2. Empty where the
 * default must serve older versions too: those have no cipher in it, so it is the library's own.
 *
 * Both libraries pass over names which they do not know as long as one remains, so each is tried
 * alone; throws an Error that names the first unknown one.
 */
export function cipherItems({ ciphers, protocols }: TlsParameters): string[] {
  const found = ciphers.split(/[:, ]+/).filter((item) => item !== "");
  for (const item of found) {
    if (item.startsWith("TLS_")) {
      throw new Error(`${item} is a cipher suite of TLS 1.3, not a cipher of TLS 1.2`);
    }
    // `!aNULL`, `@STRENGTH` … change a list and cannot stand alone.
    if (!/^[A-Za-z0-9]/.test(item)) continue;
    if (!isKnown({ ciphers: item })) throw new Error(`unknown cipher ${item}`);
  }
  if (found.length > 0) return found;
  return hasOldVersion(protocols) ? [] : [...SECURE_CIPHERS];
}

/** Whether TLS 1.0 or 1.1 is among them. */
export function hasOldVersion(protocols: readonly Protocol[]): boolean {
  return protocols.some((protocol) => protocol < "TLSv1.2");
}

/** Throws an Error that names the first unknown group of a colon list. */
export function checkCurves(list: string): void {
  for (const curve of items(list)) {
    if (!isKnown({ ecdhCurve: curve })) throw new Error(`unknown curve ${curve}`);
  }
}

/** Of a colon list. */
export function items(list: string): string[] {
  return list.split(":").filter((item) => item !== "");
}

/** Whether the library takes this option; without `ca: []`, Node would parse all public roots. */
export function isKnown(option: SecureContextOptions): boolean {
  try {
    createSecureContext({ ...option, ca: [] });
    return true;
  } catch {
    return false;
  }
}

/** ALPN names in the form of the wire (RFC 7301 section 3.1). */
export function alpnWire(names: readonly string[]): Buffer {
  return Buffer.concat(names.map((name) => {
    const bytes = Buffer.from(name);
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  }));
}

/** A fatal alert `unrecognized_name` (RFC 6066 section 3) as a TLS record, for the raw socket. */
export const UNRECOGNIZED_NAME = Uint8Array.of(0x15, 3, 3, 0, 2, 2, 112);

/** The facts without those that are unknown or unused, for which both libraries have several words. */
export function tlsFacts(
  serverName: string | false | null | undefined,
  version: string | null | undefined,
  cipher: string | null | undefined,
  alpn: string | false | null | undefined,
): TlsFacts {
  return {
    ...(serverName ? { serverName } : {}),
    ...(version ? { version } : {}),
    ...(cipher ? { cipher } : {}),
    ...(alpn ? { alpn } : {}),
  };
}

/** Each on its own: of a text with several, only the first would be read. */
function crls(pem: string): string[] {
  const sections = pemSections(pem).filter(({ label }) => label === "X509 CRL");
  return sections.length > 0 ? sections.map(pemText) : [pem];
}

function nodeVersion(protocol: Protocol): SecureVersion {
  return protocol === "TLSv1.0" ? "TLSv1" : protocol;
}

/** The versions that are not wanted, as SSL_OP_NO_… bits: there may be gaps. */
function secureOptions(wanted: readonly Protocol[]): number {
  const bits: Record<Protocol, number> = {
    "TLSv1.0": constants.SSL_OP_NO_TLSv1,
    "TLSv1.1": constants.SSL_OP_NO_TLSv1_1,
    "TLSv1.2": constants.SSL_OP_NO_TLSv1_2,
    "TLSv1.3": constants.SSL_OP_NO_TLSv1_3,
  };
  return protocols.filter((protocol) => !wanted.includes(protocol))
    .reduce((all, protocol) => all | bits[protocol], 0);
}

/**
 * Forward secrecy and authenticated encryption only, the server's order where it counts. Those with
 * DHE have a use where a server has DH parameters; BoringSSL knows none and passes over them.
 */
const SECURE_CIPHERS: readonly string[] = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "DHE-RSA-AES128-GCM-SHA256",
  "DHE-RSA-AES256-GCM-SHA384",
  "DHE-RSA-CHACHA20-POLY1305",
];
