/** Checks of what Node and OpenSSL would pass over without a word. */
import { X509Certificate } from "node:crypto";
import { DEFAULT_CIPHERS } from "node:tls";
import { checkCurves, cipherItems, hasOldVersion, isKnown, items } from "../openssl.ts";
import type { TlsParameters } from "../tls.ts";

/**
 * The ciphers of all versions in one list, as node:tls wants them. Throws an Error that names the
 * first unknown cipher, cipher suite or group of `settings`.
 */
export function checkedCiphers(settings: TlsParameters): string {
  checkCurves(settings.curves);
  const suites = items(settings.ciphersuites);
  for (const suite of suites) {
    if (!suite.startsWith("TLS_") || !isKnown({ ciphers: suite })) {
      throw new Error(`unknown cipher suite ${suite}`);
    }
  }
  const ciphers = cipherItems(settings);
  if (ciphers.length === 0) {
    // Node's default names suites of TLS 1.3 too.
    ciphers.push(...items(DEFAULT_CIPHERS).filter((item) => !item.startsWith("TLS_")));
  }
  // TLS 1.0 and 1.1 need a signature that OpenSSL 3 has below its default security level only.
  if (hasOldVersion(settings.protocols)) ciphers.push("@SECLEVEL=0");
  return [...suites, ...ciphers].join(":");
}

/**
 * The PEM text of DH parameters, which Node ignores unless they are in the form of PKCS #3: a
 * SEQUENCE of the INTEGERs p and g. Throws an Error for any other. OpenSSL judges the numbers.
 */
export function checkedDhParameters(pem: string): string {
  const block = /-----BEGIN DH PARAMETERS-----\s([A-Za-z0-9+/=\s]+)-----END DH PARAMETERS-----/
    .exec(pem);
  const der = Buffer.from(block?.[1] ?? "", "base64");
  const numbers = derContent(der, SEQUENCE);
  const prime = numbers && derContent(numbers, INTEGER);
  const generator = prime && derContent(numbers.subarray(prime.end), INTEGER);
  if (!generator) throw new Error("the DH parameters are not in the form of PKCS #3");
  return block![0];
}

/** The PEM text of CAs; "" trusts nobody. Throws an Error when one of them cannot be read. */
export function checkedCas(pem: string): string {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (!blocks && pem !== "") throw new Error("there is no CA certificate");
  for (const block of blocks ?? []) new X509Certificate(block);
  return pem;
}

/** The content of the DER value at the start of `bytes`, and where it ends there. */
function derContent(bytes: Uint8Array, tag: number): (Uint8Array & { end: number }) | undefined {
  if (bytes[0] !== tag || bytes.length < 2) return undefined;
  let length = bytes[1]!;
  let start = 2;
  if (length >= 0x80) {
    const width = length & 0x7f;
    length = bytes.subarray(2, 2 + width).reduce((value, byte) => value * 256 + byte, 0);
    start += width;
  }
  const end = start + length;
  if (length === 0 || end > bytes.length) return undefined;
  return Object.assign(bytes.subarray(start, end), { end });
}

const SEQUENCE = 0x30;
const INTEGER = 0x02;
