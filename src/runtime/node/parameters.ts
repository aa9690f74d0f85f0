/** Checks of parameters that Node and OpenSSL would silently ignore. */
import { X509Certificate } from "node:crypto";
import { DEFAULT_CIPHERS } from "node:tls";
import { firstDer, inside, INTEGER, SEQUENCE } from "../../base/der.ts";
import { derOf, pemSections, pemText } from "../../base/pem.ts";
import { checkCurves, cipherItems, hasOldVersion, isKnown, items } from "../openssl.ts";
import type { TlsParameters } from "../tls.ts";

/**
 * Returns the ciphers of all versions in one list, as node:tls expects them. Throws an Error that
 * names the first unknown cipher, cipher suite or group of `settings`.
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
    // Node's default also contains TLS 1.3 suites.
    ciphers.push(...items(DEFAULT_CIPHERS).filter((item) => !item.startsWith("TLS_")));
  }
  // TLS 1.0 and 1.1 need a signature that OpenSSL 3 allows only below its default security level.
  if (hasOldVersion(settings.protocols)) ciphers.push("@SECLEVEL=0");
  return [...suites, ...ciphers].join(":");
}

/**
 * Returns the PEM text of DH parameters, which Node ignores unless they are in PKCS #3 form: a
 * SEQUENCE of the INTEGERs p and g. Throws an Error for any other form. OpenSSL checks the numbers.
 */
export function checkedDhParameters(pem: string): string {
  const section = pemSections(pem).find(({ label }) => label === "DH PARAMETERS");
  if (!section || !isPkcs3(derOf(section))) {
    throw new Error("the DH parameters are not in PKCS #3 form");
  }
  return pemText(section);
}

/** Returns the PEM text of CAs; "" trusts none. Throws an Error if one of them cannot be read. */
export function checkedCas(pem: string): string {
  const sections = pemSections(pem).filter(({ label }) => label === "CERTIFICATE");
  if (sections.length === 0 && pem !== "") {
    throw new Error("there is no CA certificate in the PEM text");
  }
  for (const section of sections) new X509Certificate(derOf(section));
  return pem;
}

function isPkcs3(der: Uint8Array): boolean {
  try {
    const [prime, generator] = inside(firstDer(der), SEQUENCE);
    return [prime, generator].every((each) => each?.tag === INTEGER && each.content.length > 0);
  } catch {
    return false;
  }
}
