/**
 * What Bun and Node have in common: both speak of TLS settings in the words of node:tls, with
 * BoringSSL or OpenSSL below.
 */
import { constants } from "node:crypto";
import { createSecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import type { Certificate, Protocol, TlsFacts, TlsSettings } from "./types.ts";

/** All versions that either library speaks, oldest first. */
export const protocols: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** One certificate in the words of node:tls; the cipher list is left to the adapter. */
export function contextOptions(
  settings: TlsSettings,
  { chain, key }: Certificate,
): SecureContextOptions {
  return {
    cert: chain,
    key,
    // No client certificate is asked for. Without roots of our own, BoringSSL would look for files
    // in /etc/ssl/certs at each handshake, and Node parse all public roots in each worker.
    ca: chain,
    minVersion: nodeVersion(settings.protocols.at(0)!),
    maxVersion: nodeVersion(settings.protocols.at(-1)!),
    secureOptions: exclusions(settings.protocols) | constants.SSL_OP_NO_RENEGOTIATION,
    honorCipherOrder: settings.preferServerCiphers,
    // The default is a hash of argv, which differs from worker to worker.
    sessionIdContext: "stud",
  };
}

/**
 * The items of an OpenSSL cipher list. Both libraries pass over names which they do not know as
 * long as one remains, so each is tried alone; throws an Error that names the first unknown one.
 */
export function cipherItems(list: string): string[] {
  const items = list.split(/[:, ]+/).filter((item) => item !== "");
  for (const item of items) {
    if (item.startsWith("TLS_")) {
      throw new Error(`${item} belongs to TLS 1.3, whose ciphers cannot be chosen`);
    }
    // `!aNULL`, `@STRENGTH` … change a list and cannot stand alone.
    if (!/^[A-Za-z0-9]/.test(item)) continue;
    try {
      createSecureContext({ ciphers: item });
    } catch {
      throw new Error(`unknown cipher ${item}`);
    }
  }
  return items;
}

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

function nodeVersion(protocol: Protocol): SecureVersion {
  return protocol === "TLSv1.0" ? "TLSv1" : protocol;
}

/** The versions that are not wanted, as SSL_OP_NO_… bits: there may be gaps. */
function exclusions(wanted: readonly Protocol[]): number {
  const bits: Record<Protocol, number> = {
    "TLSv1.0": constants.SSL_OP_NO_TLSv1,
    "TLSv1.1": constants.SSL_OP_NO_TLSv1_1,
    "TLSv1.2": constants.SSL_OP_NO_TLSv1_2,
    "TLSv1.3": constants.SSL_OP_NO_TLSv1_3,
  };
  return protocols.filter((protocol) => !wanted.includes(protocol))
    .reduce((all, protocol) => all | bits[protocol], 0);
}
