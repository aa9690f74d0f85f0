/** Why a peer was lost, in the same words on every runtime. */
import type { Failure } from "../runtime/failure.ts";
import { recognize, TLS_PORT } from "./foreign_protocol.ts";

type Peer = "client" | "backend";

/**
 * Returns the words for a fault of TLS or for an errno of the connection; `when` is added where the
 * fault itself does not say it. Undefined for anything else, such as a certificate that is not trusted.
 */
export function faultText(failure: Failure, peer: Peer, when = ""): string | undefined {
  const { fault, code } = failure;
  if (!fault) return errnoText(code, `the ${peer}`, when);
  if (fault.startsWith("alert ")) return alertText(fault.slice(6), peer, when === "");
  switch (fault) {
    case "left":
      if (peer === "client") return "the client left before it sent anything";
      return `the ${peer} closed the connection ${when}`;
    case "early-reset":
      if (peer === "client") return "the client reset the connection before its handshake";
      return `the ${peer} reset the connection ${when}`;
    case "closed":
      return `the ${peer} closed the connection ${when}`;
    case "reset":
      return `the ${peer} reset the connection ${when}`;
    case "not-tls":
      return when === "" ? VIOLATION(peer) : foreignText(failure.received, peer);
    case "version":
      return NOT_OFFERED(peer, "TLS version");
    case "parameters":
      return NOT_OFFERED(peer, "cipher suite, group or signature algorithm");
    case "alpn":
      return NOT_OFFERED(peer, "ALPN protocol");
    case "server-name":
      return `the ${peer} sent a server name (SNI) that is not a DNS name, which rustls refuses: ` +
        "with a port or another character, an empty label, or a last label of digits only";
    case "renegotiation":
      return `the ${peer} asked for a renegotiation, which is always refused`;
    case "decryption":
      return `a record from the ${peer} could not be decrypted`;
    default:
      return VIOLATION(peer);
  }
}

const NOT_OFFERED = (peer: Peer, what: string) =>
  peer === "client"
    ? `the client offers no ${what} that stud accepts`
    : `the backend accepts no ${what} that stud offers`;

const VIOLATION = (peer: Peer) => `the ${peer} violated the TLS protocol`;

function foreignText(received: Uint8Array | undefined, peer: Peer): string {
  const found = received && recognize(received, peer);
  if (found) return `the ${peer} sent ${found.what} instead of TLS; ${found.remedy}`;
  const remedy = peer === "backend" ? `; ${TLS_PORT}` : "";
  return `the ${peer} sent something other than TLS${remedy}`;
}

function errnoText(code: string, who: string, when: string): string | undefined {
  switch (code) {
    case "ECONNRESET":
    case "EPIPE":
      return `${who} reset the connection${when && ` ${when}`}`;
    case "ETIMEDOUT":
      return `${who} no longer answers`;
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return `there is no route to ${who}`;
    default:
      return undefined;
  }
}

/** `name` as in RFC 8446 section 6; "" if only the fact is known. */
function alertText(name: string, peer: Peer, isInSession: boolean): string {
  if (name === "") return `the ${peer} ended the handshake with an alert; ${UNTRUSTED}`;
  // So OpenSSL's clients take the warning `no_renegotiation`.
  if (isInSession && name === "handshake_failure") {
    return `the ${peer} sent the alert handshake_failure: most often it asked for a renegotiation, ` +
      "which is always refused";
  }
  const meaning = (peer === "client" ? clientMeanings : backendMeanings)[name] ?? meanings[name];
  return `the ${peer} sent the alert ${name}${meaning ? `: ${meaning}` : ""}`;
}

const UNTRUSTED = "most often it does not trust the certificate";

const meanings: Readonly<Record<string, string>> = {
  handshake_failure: "it accepts none of the parameters on offer",
  insufficient_security: "it requires stronger parameters",
  internal_error: "the error is on its side",
  no_application_protocol: "it accepts none of the ALPN protocols on offer",
  no_renegotiation: "it refuses to renegotiate",
  protocol_version: "it accepts none of the TLS versions on offer",
};

/** What an alert says about the certificate that stud presents. */
const clientMeanings: Readonly<Record<string, string>> = {
  bad_certificate: "it rejects the certificate",
  certificate_expired: "it considers the certificate expired",
  certificate_revoked: "it considers the certificate revoked",
  certificate_unknown: "it rejects the certificate",
  unknown_ca: "it does not know the CA of the certificate (unknown CA)",
  unsupported_certificate: "it does not support this type of certificate",
};

/** What an alert of the backend says about stud as its client, which has no certificate. */
const backendMeanings: Readonly<Record<string, string>> = {
  bad_certificate: "it requires a client certificate, which --client does not send",
  certificate_required: "it requires a client certificate, which --client does not send",
  unrecognized_name: "it does not know the server name; set --backend-name",
};
