import { BaseBlock, fromBER } from "asn1js";
import { BasicOCSPResponse, id_PKIX_OCSP_Basic, OCSPResponse, type SingleResponse } from "pkijs";
import { MAX_RESPONSE } from "./messages.ts";
import { isSignedForIssuer } from "./signature.ts";
import { certificateId, type Subject } from "./subject.ts";

/** The validity of a staple, in milliseconds since 1970. */
export interface Validity {
  readonly from: number;
  /** Absent: newer information is always available, and the response does not expire. */
  readonly until?: number;
}

/** Maximum time by which a responder's clock can be ahead. */
const CLOCK_SKEW_MS = 300_000;

/** RFC 6960 section 4.2.1; 4 is not used. */
const statusNames: Readonly<Record<number, string>> = {
  1: "malformedRequest",
  2: "internalError",
  3: "tryLater",
  5: "sigRequired",
  6: "unauthorized",
};

/**
 * Checks a response in DER (RFC 6960 section 4.2): it is successful, has the basic type, and has
 * one answer for this certificate, with the status good. With `verify`, also that it is signed by
 * the certificate's issuer or by a responder which that issuer authorized. {@link validityProblem}
 * checks its dates. Throws an Error with the reason in one line.
 */
export function checkResponse(
  response: Uint8Array,
  subject: Subject,
  { verify }: { readonly verify: boolean },
): Validity {
  if (response.length > MAX_RESPONSE) {
    throw new Error(`the OCSP response is larger than ${MAX_RESPONSE} bytes`);
  }
  const basic = readBasicResponse(response);
  const validity = readValidity(findAnswer(basic, subject));
  if (verify && !isSignedForIssuer(basic, subject.issuer)) {
    throw new Error("the OCSP response is not signed by the certificate's issuer or for it");
  }
  return validity;
}

/** Returns why a staple cannot be served at `now` (milliseconds since 1970), or undefined. */
export function validityProblem({ from, until }: Validity, now: number): string | undefined {
  if (until !== undefined && until <= now) return `the OCSP response expired on ${date(until)}`;
  if (from > now + CLOCK_SKEW_MS) return `the OCSP response is valid only from ${date(from)}`;
  return undefined;
}

function readBasicResponse(der: Uint8Array): BasicOCSPResponse {
  const response = read("an OCSP response", () => new OCSPResponse({ schema: parse(der) }));
  const status = response.responseStatus.valueBlock.valueDec;
  if (status !== 0) {
    throw new Error(`the responder refused to answer (${statusNames[status] ?? status})`);
  }
  if (response.responseBytes?.responseType !== id_PKIX_OCSP_Basic) {
    throw new Error("the OCSP response is not of the basic type");
  }
  const bytes = response.responseBytes.response.getValue();
  return read(
    "a basic OCSP response",
    () => new BasicOCSPResponse({ schema: parse(new Uint8Array(bytes)) }),
  );
}

function parse(der: Uint8Array): BaseBlock {
  const { offset, result } = fromBER(der);
  if (offset !== der.length) throw new Error("not DER");
  return result;
}

/** Replaces the ASN.1 library's errors, which are about its internals. */
function read<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch {
    throw new Error(`the bytes are not ${what}`);
  }
}

function findAnswer(basic: BasicOCSPResponse, subject: Subject): SingleResponse {
  const answers = basic.tbsResponseData.responses.filter(({ certID }) =>
    certificateId(subject, certID.hashAlgorithm.algorithmId)?.isEqual(certID)
  );
  const [answer] = answers;
  if (!answer || answers.length > 1) {
    throw new Error(`the OCSP response has ${answers.length} answers for this certificate, not 1`);
  }
  // CertStatus is a choice of [0] good, [1] revoked and [2] unknown.
  const status = (answer.certStatus as BaseBlock).idBlock.tagNumber;
  if (status !== 0) {
    throw new Error(`the certificate's status is ${status === 1 ? "revoked" : "unknown"}`);
  }
  return answer;
}

function readValidity({ thisUpdate, nextUpdate }: SingleResponse): Validity {
  const from = thisUpdate.getTime();
  const until = nextUpdate?.getTime();
  if (Number.isNaN(from) || (until !== undefined && !(until >= from))) {
    throw new Error("the OCSP response has invalid dates");
  }
  return { from, ...(until === undefined ? {} : { until }) };
}

function date(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
