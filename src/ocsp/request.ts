import { id_sha1, OCSPRequest, Request, TBSRequest } from "pkijs";
import { certificateId, type Subject } from "./subject.ts";

/**
 * Creates a request for one certificate's status (RFC 6960 section 4.1), in DER. Its CertID uses
 * SHA-1, which responders look up (RFC 5019 section 2.1.1). It has no nonce, so that they can
 * answer with a response that they have produced in advance.
 */
export function createRequest(subject: Subject): Uint8Array<ArrayBuffer> {
  const reqCert = certificateId(subject, id_sha1)!;
  const request = new OCSPRequest({
    tbsRequest: new TBSRequest({ requestList: [new Request({ reqCert })] }),
  });
  return new Uint8Array(request.toSchema(true).toBER());
}
