import { id_sha1, OCSPRequest, Request, TBSRequest } from "pkijs";
import { certificateId, type Subject } from "./subject.ts";

/**
 * A request for one certificate's status (RFC 6960 section 4.1), DER. Its CertID uses SHA-1, since
 * responders look that up (RFC 5019 section 2.1.1); it has no nonce, so that they may answer with
 * a response they have made beforehand.
 */
export function createRequest(subject: Subject): Uint8Array<ArrayBuffer> {
  const reqCert = certificateId(subject, id_sha1)!;
  const request = new OCSPRequest({
    tbsRequest: new TBSRequest({ requestList: [new Request({ reqCert })] }),
  });
  return new Uint8Array(request.toSchema(true).toBER());
}
