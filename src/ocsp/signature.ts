import { constants, verify, X509Certificate } from "node:crypto";
import {
  type BasicOCSPResponse,
  type Certificate,
  type ExtKeyUsage,
  id_ExtKeyUsage,
  RSASSAPSSParams,
} from "pkijs";
import { digests } from "./subject.ts";

/** `id-kp-OCSPSigning`, RFC 6960 section 4.2.2.2. */
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
/** RFC 4055 section 3.1. */
const RSA_PSS = "1.2.840.113549.1.1.10";

/**
 * The digests of signature algorithms by object identifier; null if it is part of the algorithm.
 */
const signatureDigests: Readonly<Record<string, string | null>> = {
  // RSA with PKCS #1 v1.5, RFC 8017 appendix A.2.4.
  "1.2.840.113549.1.1.5": "sha1",
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
  // ECDSA, RFC 5758 section 3.2.
  "1.2.840.10045.4.1": "sha1",
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
  // Ed25519 and Ed448, RFC 8410 section 3.
  "1.3.101.112": null,
  "1.3.101.113": null,
};

/**
 * Returns whether the response is signed by `issuer`, or by a certificate in the response that is
 * valid now and that `issuer` issued for this purpose (RFC 6960 section 4.2.2.2).
 */
export function isSignedForIssuer(basic: BasicOCSPResponse, issuer: X509Certificate): boolean {
  if (isSignedBy(basic, issuer)) return true;
  return (basic.certs ?? []).some((certificate) => {
    const delegate = readDelegate(certificate, issuer);
    return delegate !== undefined && isSignedBy(basic, delegate);
  });
}

function readDelegate(
  certificate: Certificate,
  issuer: X509Certificate,
): X509Certificate | undefined {
  const usage = certificate.extensions?.find(({ extnID }) => extnID === id_ExtKeyUsage)
    ?.parsedValue as ExtKeyUsage | undefined;
  if (!usage?.keyPurposes?.includes(OCSP_SIGNING)) return undefined;
  const now = Date.now();
  const { notBefore, notAfter } = certificate;
  if (now < notBefore.value.getTime() || now > notAfter.value.getTime()) return undefined;
  try {
    const delegate = new X509Certificate(Buffer.from(certificate.toSchema().toBER()));
    const isIssued = delegate.checkIssued(issuer) && delegate.verify(issuer.publicKey);
    return isIssued ? delegate : undefined;
  } catch {
    return undefined;
  }
}

function isSignedBy(basic: BasicOCSPResponse, { publicKey }: X509Certificate): boolean {
  const { algorithmId, algorithmParams } = basic.signatureAlgorithm;
  const data = basic.tbsResponseData.tbsView;
  const signature = basic.signature.valueBlock.valueHexView;
  try {
    if (algorithmId === RSA_PSS) {
      const { hashAlgorithm, saltLength } = new RSASSAPSSParams({ schema: algorithmParams });
      const digest = digests[hashAlgorithm.algorithmId];
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return digest !== undefined &&
        verify(digest, data, { key: publicKey, padding, saltLength }, signature);
    }
    const digest = signatureDigests[algorithmId];
    return digest !== undefined && verify(digest, data, publicKey, signature);
  } catch {
    // The algorithm does not match the key.
    return false;
  }
}
