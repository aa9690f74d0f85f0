/**
 * Returns why a certificate is not trusted, for a reason by OpenSSL's name. The TLS libraries name
 * some reasons differently, or find another one first; these words are the same on all builds.
 */
export function wordsFor(reason: string, use: "clients" | "servers" = "clients"): string {
  if (reason === "INVALID_PURPOSE") return `it is not for ${use}`;
  return words.get(reason) ?? reason.toLowerCase().replaceAll("_", " ");
}

export const UNKNOWN_CA = "its CA is unknown";

const words: ReadonlyMap<string, string> = new Map([
  ["UNABLE_TO_GET_ISSUER_CERT", UNKNOWN_CA],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNKNOWN_CA],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", UNKNOWN_CA],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", UNKNOWN_CA],
  ["SELF_SIGNED_CERT_IN_CHAIN", UNKNOWN_CA],
  ["CERT_UNTRUSTED", UNKNOWN_CA],
  ["CERT_SIGNATURE_FAILURE", "its signature does not match its CA's key"],
  ["CERT_NOT_YET_VALID", "it is not valid yet"],
  ["CERT_HAS_EXPIRED", "it has expired"],
  ["CERT_REVOKED", "it is revoked"],
  ["CA_USED_AS_END_ENTITY", "it is a CA's certificate, which rustls does not accept for a server"],
  ["INVALID_CA", "a CA in its chain is not allowed to sign certificates"],
  ["INVALID_NON_CA", "a CA in its chain is not allowed to sign certificates"],
  ["PATH_LENGTH_EXCEEDED", "its chain is longer than a CA permits"],
  ["CERT_CHAIN_TOO_LONG", "its chain is too long"],
  ["UNABLE_TO_GET_CRL", "there is no CRL of its CA"],
  ["CRL_HAS_EXPIRED", "the CRL of its CA has expired"],
  ["CRL_NOT_YET_VALID", "the CRL of its CA is not valid yet"],
  ["EE_KEY_TOO_SMALL", "its key is too small"],
  ["CA_KEY_TOO_SMALL", "a CA's key in its chain is too small"],
  ["CA_MD_TOO_WEAK", "a signature in its chain is too weak"],
]);
