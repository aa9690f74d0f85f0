import { createHash } from "node:crypto";
import type { VerifySettings } from "./tls.ts";

/**
 * Returns a name for these trust settings; undefined: clients are not verified. A resumed session
 * keeps its client's verification result without another check against CAs and CRLs, so it is not
 * valid under other settings, or after a change of CA or CRL.
 */
export function policyOf(verify: VerifySettings | undefined): string {
  const text = JSON.stringify(verify ? [verify.mode, verify.ca, verify.crl] : []);
  return createHash("sha256").update(text).digest("base64");
}
