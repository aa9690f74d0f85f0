import { createHash, X509Certificate } from "node:crypto";
import { fromBER, type Integer, Null, OctetString } from "asn1js";
import { derOf, pemSections } from "../base/pem.ts";
import {
  AlgorithmIdentifier,
  CertID,
  Certificate,
  id_ad_ocsp,
  id_AuthorityInfoAccess,
  id_sha1,
  id_sha256,
  id_sha384,
  id_sha512,
  type InfoAccess,
} from "pkijs";

/** A certificate to ask a responder about, identified as in RFC 6960 section 4.1.1. */
export interface Subject {
  readonly serialNumber: Integer;
  /** DER of the issuer's name. */
  readonly issuerName: Uint8Array;
  /** The issuer's public key without its algorithm. */
  readonly issuerKey: Uint8Array;
  readonly issuer: X509Certificate;
  /** The first HTTP URL of a responder in the certificate. */
  readonly responder: string | undefined;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** Digest algorithms of certificate identifiers and signatures, by object identifier. */
export const digests: Readonly<Record<string, string>> = {
  [id_sha1]: "sha1",
  [id_sha256]: "sha256",
  [id_sha384]: "sha384",
  [id_sha512]: "sha512",
};

/**
 * Parses a PEM chain, the leaf first. Throws an Error if the leaf cannot be parsed or its issuer is
 * missing, without which nothing can be requested or verified.
 */
export function readSubject(chain: string): Subject {
  const { leaf, responder } = readLeaf(chain);
  const own = new X509Certificate(chain);
  const issuer = pemSections(chain).slice(1).map((section) => new X509Certificate(derOf(section)))
    .find((candidate) => own.checkIssued(candidate) && own.verify(candidate.publicKey));
  if (!issuer) throw new Error("unable to find its issuer in its PEM file");
  const issuerKey = readCertificate(issuer.raw).subjectPublicKeyInfo.subjectPublicKey;
  return {
    serialNumber: leaf.serialNumber,
    issuerName: new Uint8Array(leaf.issuer.valueBeforeDecode),
    issuerKey: issuerKey.valueBlock.valueHexView,
    issuer,
    responder,
    expires: leaf.notAfter.value.getTime(),
  };
}

/** Returns the responder of a PEM chain's leaf. Throws an Error if the leaf cannot be parsed. */
export function responderOf(chain: string): string | undefined {
  return readLeaf(chain).responder;
}

/** Returns the leaf's CertID, or undefined for an unknown digest algorithm (object identifier). */
export function certificateId(subject: Subject, digestOid: string): CertID | undefined {
  const digest = digests[digestOid];
  if (!digest) return undefined;
  const hash = (bytes: Uint8Array) =>
    new OctetString({ valueHex: new Uint8Array(createHash(digest).update(bytes).digest()) });
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithmId: digestOid, algorithmParams: new Null() }),
    issuerNameHash: hash(subject.issuerName),
    issuerKeyHash: hash(subject.issuerKey),
    serialNumber: subject.serialNumber,
  });
}

function readLeaf(chain: string): { leaf: Certificate; responder: string | undefined } {
  const leaf = readCertificate(new X509Certificate(chain).raw);
  const access = leaf.extensions?.find(({ extnID }) => extnID === id_AuthorityInfoAccess)
    ?.parsedValue as InfoAccess | undefined;
  const responder = access?.accessDescriptions
    .filter(({ accessMethod }) => accessMethod === id_ad_ocsp)
    .map(({ accessLocation }) => accessLocation.value as unknown)
    .find((uri): uri is string => typeof uri === "string" && /^https?:/i.test(uri));
  return { leaf, responder };
}

function readCertificate(der: Uint8Array): Certificate {
  return new Certificate({ schema: fromBER(der).result });
}
