/** Checks of parameters that Node and OpenSSL would silently ignore. */
import { X509Certificate } from "node:crypto";
import { DEFAULT_CIPHERS } from "node:tls";
import { firstDer, inside, INTEGER, SEQUENCE } from "../../base/der.ts";
import { derOf, pemSections, pemText } from "../../base/pem.ts";
import {
  cipherItems,
  fitGroups,
  fitSuites,
  hasOldVersion,
  listed,
  type ListLibrary,
} from "../fit_lists.ts";
import type { TlsParameters } from "../tls.ts";

/** What OpenSSL makes of lists. */
export const openSsl: ListLibrary = {
  title: "OpenSSL",
  hasLevels: true,
  classes: {},
  hasGroupSyntax: true,
  groups: {},
};

/**
 * Returns the lists as node:tls expects them: the ciphers of all versions in one. Throws an Error if
 * nothing is left of one.
 */
export function fittedLists(settings: TlsParameters): { ciphers: string; ecdhCurve?: string } {
  const { ciphersuites, curves } = settings;
  const suites = ciphersuites === "" ? [] : fitSuites(ciphersuites, openSsl).items;
  const ciphers = [...cipherItems(settings, openSsl)];
  if (ciphers.length === 0) {
    // Node's default also contains TLS 1.3 suites.
    ciphers.push(...listed(DEFAULT_CIPHERS, ":").filter((item) => !item.startsWith("TLS_")));
  }
  if (hasOldVersion(settings.protocols)) ciphers.push(...forOldVersions(ciphers));
  return {
    ciphers: [...suites, ...ciphers].join(":"),
    ...(curves === "" ? {} : { ecdhCurve: fitGroups(curves, openSsl).items.join(":") }),
  };
}

/**
 * TLS 1.0 and 1.1 need a signature that OpenSSL 3 allows only at level 0, where it also allows
 * clients without any authentication of the server. A list that demands more than level 1 takes precedence.
 */
function forOldVersions(ciphers: readonly string[]): string[] {
  const level = ciphers.findLast((item) => item.startsWith("@SECLEVEL="));
  if (level === "@SECLEVEL=0" || (level !== undefined && level > "@SECLEVEL=1")) return [];
  return ["!aNULL", "@SECLEVEL=0"];
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
