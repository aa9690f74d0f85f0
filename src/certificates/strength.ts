import type { X509Certificate } from "node:crypto";
import { weaknessOf } from "../base/certificate_strength.ts";
import { UsageError } from "../base/errors.ts";

/**
 * Refuses a chain, the leaf first, with a certificate that is too weak, whatever the TLS library thinks
 * of it, so that all builds judge it alike. Throws a UsageError.
 */
export function refuseWeak(chain: readonly X509Certificate[], file: string): void {
  for (const [place, certificate] of chain.entries()) {
    const weakness = weaknessOf(certificate.raw);
    if (!weakness) continue;
    const which = place === 0 ? "its certificate" : "a certificate of its chain";
    throw new UsageError(`${file}: ${which} ${weakness.text}; get another, as clients refuse it`);
  }
}

/** Returns the error for a key on a curve that the running build does not support. */
export function unsupportedCurve(file: string, curve: string): UsageError {
  return new UsageError(
    `${file}: the key of its certificate is on the curve ${curve}, which this build does not ` +
      "support; use the Node build, or get a certificate for a key on P-256",
  );
}
