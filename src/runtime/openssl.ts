/**
 * What Bun and Node have in common: both take TLS settings in the form of node:tls, with BoringSSL or
 * OpenSSL below.
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

/** The session id context of all contexts; a session does not resume under another. */
export const SESSION_CONTEXT = "stud";

/** All versions that both libraries support, oldest first. */
export const protocols: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** Returns a server's context options for node:tls, without ciphers, which the adapter adds. */
export function serverOptions(
  settings: Pick<TlsSettings, keyof TlsParameters | "sessionTimeout" | "tickets">,
  { certificates, verify }: Identity,
): SecureContextOptions {
  return {
    ...parameterOptions(settings),
    cert: certificates.map(({ chain }) => chain),
    key: certificates.map(({ key }) => key),
    // Without `ca`, BoringSSL would look for files in /etc/ssl/certs at each handshake, and Node
    // would parse all public roots in each worker.
    ca: verify?.ca ?? certificates[0]!.chain,
    ...(verify?.crl ? { crl: crls(verify.crl) } : {}),
    // The default is a hash of argv, which differs from worker to worker.
    sessionIdContext: SESSION_CONTEXT,
    sessionTimeout: settings.sessionTimeout,
    secureOptions: secureOptions(settings.protocols) | constants.SSL_OP_NO_RENEGOTIATION |
      (settings.tickets ? 0 : constants.SSL_OP_NO_TICKET),
  };
}

/** OpenSSL's SSL_CTX as Node exposes it, UNDOCUMENTED. Bun has the same object without these. */
export interface TicketContext {
  /** After `enableTicketKeyCallback`. A result of another form crashes the process. */
  onticketkeycallback(name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer;
  enableTicketKeyCallback(): void;
}

/** Whether this runtime has a callback for ticket keys. */
export function hasTicketKeyCallback(): boolean {
  return "enableTicketKeyCallback" in createSecureContext({ ca: [] }).context;
}

/**
 * Makes a context use the ticket keys of its settings, if any, under `policy`. While `renews` returns
 * true, a client whose ticket is accepted gets a new one: OpenSSL leaves that to the callback.
 */
export function useTicketKeys(
  context: TicketContext,
  { ticketKeys }: Pick<TlsSettings, "ticketKeys">,
  policy: string,
  renews = () => false,
): void {
  if (!ticketKeys) return;
  context.onticketkeycallback = (name, iv, isNew) => {
    try {
      const answer = ticketKeys.answer(policy, name, iv, isNew);
      const [status, ...keys] = answer;
      return !isNew && status === 1 && renews() ? [2, ...keys] : answer;
    } catch (error) {
      raise(error);
      // The ticket is neither read nor issued.
      return [0, NO_KEY, NO_KEY, name, iv];
    }
  };
  context.enableTicketKeyCallback();
}

const NO_KEY = Buffer.alloc(16);

/** Returns versions, groups and cipher preference as options for node:tls. */
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
 * Returns the items of the OpenSSL cipher list of `settings`, or of the default for TLS 1.2. Empty if
 * the default must serve older versions too, which have no cipher in it: then the library's default
 * applies.
 *
 * Both libraries silently skip unknown names while one known name remains, so each is tried alone.
 * Throws an Error that names the first unknown one.
 */
export function cipherItems({ ciphers, protocols }: TlsParameters): string[] {
  const found = ciphers.split(/[:, ]+/).filter((item) => item !== "");
  for (const item of found) {
    if (item.startsWith("TLS_")) {
      throw new Error(`${item} is a TLS 1.3 cipher suite, not a TLS 1.2 cipher`);
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

/** Throws an Error that names the first unknown group of a colon-separated list. */
export function checkCurves(list: string): void {
  for (const curve of items(list)) {
    if (!isKnown({ ecdhCurve: curve })) throw new Error(`unknown curve ${curve}`);
  }
}

/** Splits a colon-separated list. */
export function items(list: string): string[] {
  return list.split(":").filter((item) => item !== "");
}

/** Whether the library accepts this option; without `ca: []`, Node would parse all public roots. */
export function isKnown(option: SecureContextOptions): boolean {
  try {
    createSecureContext({ ...option, ca: [] });
    return true;
  } catch {
    return false;
  }
}

/** Returns ALPN names in wire format (RFC 7301 section 3.1). */
export function alpnWire(names: readonly string[]): Buffer {
  return Buffer.concat(names.map((name) => {
    const bytes = Buffer.from(name);
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  }));
}

/** Fatal alerts as TLS records, for the raw socket (RFC 8446 section 6.2). */
export const UNRECOGNIZED_NAME = Uint8Array.of(0x15, 3, 3, 0, 2, 2, 112);
export const DECODE_ERROR = Uint8Array.of(0x15, 3, 3, 0, 2, 2, 50);

/** Returns the facts that are known and used; the libraries mark the others with different values. */
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

/** Splits a PEM text into CRLs: of a text with several, only the first would be read. */
function crls(pem: string): string[] {
  const sections = pemSections(pem).filter(({ label }) => label === "X509 CRL");
  return sections.length > 0 ? sections.map(pemText) : [pem];
}

function nodeVersion(protocol: Protocol): SecureVersion {
  return protocol === "TLSv1.0" ? "TLSv1" : protocol;
}

/** Returns the SSL_OP_NO_… bits of the versions that are not wanted: the range may have gaps. */
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
 * Forward secrecy and authenticated encryption only, in the server's order of preference. Those with
 * DHE need DH parameters; BoringSSL does not know them and skips them.
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
