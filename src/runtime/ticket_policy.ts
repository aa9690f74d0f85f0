import { createHash } from "node:crypto";
import type { VerifySettings } from "./tls.ts";

/**
 * A name for the way in which clients are verified; undefined: they are not. A resumed session keeps
 * what was found out about its client, unseen by CAs and CRLs, so one way's sessions mean nothing to
 * another, and nothing after a change of CA or CRL.
 */
export function policyOf(verify: VerifySettings | undefined): string {
  const text = JSON.stringify(verify ? [verify.mode, verify.ca, verify.crl] : []);
  return createHash("sha256").update(text).digest("base64");
}
