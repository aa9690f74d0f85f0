import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  backendHandshakeFailed,
  backendLost,
  backendUnreachable,
  clientLost,
  FAILURE_CODES,
  handshakeFailed,
  isConnectFailure,
  isOutage,
} from "../../src/connection/failure.ts";
import { wrongName } from "../../src/runtime/failure.ts";
import { tlsFault, UNREAD_ALERT } from "../../src/runtime/tls_fault.ts";

const text = ({ source, code }: { source: string; code: string }) => `${source} ${code}`;

test("docs/failures.md explains every code", () => {
  const page = readFileSync(new URL("../../docs/failures.md", import.meta.url), "utf8");
  assert.deepEqual(FAILURE_CODES.filter((code) => !page.includes(`\`${code}\``)), []);
});

test("a failed connect is classified by its errno", () => {
  const of = (code: string) => text(backendUnreachable({ code, message: "" }));
  assert.equal(of("ECONNREFUSED"), "backend backend-refused");
  assert.equal(of("ETIMEDOUT"), "backend backend-timeout");
  assert.equal(of("EHOSTUNREACH"), "backend backend-unreachable");
  assert.equal(of("EADDRNOTAVAIL"), "internal backend-no-ports");
  assert.equal(of("ERR_INTERNAL"), "internal internal-error");
});

test("the side that was lost is the source, except for an internal error", () => {
  const reset = { code: "ECONNRESET", message: "reset" };
  const thrown = { code: "ERR_INTERNAL", message: "x is undefined" };
  assert.equal(text(clientLost(reset)), "client client-reset");
  assert.equal(text(backendLost(reset)), "backend backend-reset");
  assert.equal(text(handshakeFailed(reset)), "client handshake-failed");
  assert.equal(text(backendHandshakeFailed(reset)), "backend backend-handshake");
  for (const classify of [clientLost, backendLost, handshakeFailed, backendHandshakeFailed]) {
    assert.deepEqual(classify(thrown), {
      source: "internal",
      code: "internal-error",
      cause: "x is undefined",
    });
  }
});

test("a fault of TLS has the same words for each library, whose own are kept", () => {
  const received = new TextEncoder().encode("GET / HTTP/1.1\r\n");
  for (const message of ["http request", "received corrupt message of type InvalidContentType"]) {
    const failure = { code: message, message, fault: tlsFault(message), received };
    assert.deepEqual(handshakeFailed(failure), {
      source: "client",
      code: "handshake-failed",
      cause: "the client sent plain HTTP instead of TLS; use https://",
      detail: message,
    });
    // Within a session it is an error of TLS like any other.
    const { cause, code } = clientLost(failure);
    assert.equal(`${code}: ${cause}`, "tls-error: the client violated the TLS protocol");
  }
  const unknown = handshakeFailed({ code: "", message: "", fault: "not-tls" });
  assert.equal(unknown.cause, "the client sent something other than TLS");
  const backend = backendHandshakeFailed({ code: "", message: "", fault: "not-tls" });
  assert.match(backend.cause, /^the backend sent something other than TLS; use .*TLS port/);
});

test("an alert is named, with its meaning for the certificate or for the backend", () => {
  const client = handshakeFailed({ code: "", message: "", fault: "alert unknown_ca" }).cause;
  assert.match(client, /^the client sent the alert unknown_ca: .*CA of the certificate/);
  const backend = backendLost({ code: "", message: "", fault: "alert certificate_required" });
  assert.match(backend.cause, /^the backend sent the alert certificate_required: it requires/);
  assert.equal(backend.code, "tls-error");
  const other = clientLost({ code: "", message: "", fault: "alert user_canceled" });
  assert.equal(other.cause, "the client sent the alert user_canceled");
  const unread = handshakeFailed({ code: "", message: "", fault: UNREAD_ALERT }).cause;
  assert.match(unread, /alert; most often it does not trust the certificate$/);
});

test("a backend that is not trusted is named with the reason and the remedy", () => {
  const of = (certificate: string) =>
    backendHandshakeFailed({ code: certificate, certificate, message: "the library's words" });
  for (const reason of ["DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_GET_ISSUER_CERT"]) {
    assert.deepEqual(of(reason), {
      source: "backend",
      code: "backend-handshake",
      cause:
        "the backend's certificate is not trusted: its CA is unknown; add it to --client-verify-ca",
      detail: "the library's words",
    });
  }
  assert.match(of("CERT_HAS_EXPIRED").cause, /not trusted: it has expired$/);
  assert.match(of("INVALID_PURPOSE").cause, /not trusted: it is not for servers$/);
  const { cause } = backendHandshakeFailed(wrongName("db.example"));
  assert.equal(cause, "the backend's certificate is not valid for db.example; set --backend-name");
  assert.match(backendHandshakeFailed(wrongName("")).cause, /no name.*; set --backend-name$/);
});

test("a client that leaves at once is counted apart, a backend that does so has failed", () => {
  const code = "ECONNRESET";
  for (const fault of ["left", "early-reset"] as const) {
    const failure = { code, message: "", fault };
    assert.equal(text(handshakeFailed(failure)), "client client-left");
    assert.equal(text(backendHandshakeFailed(failure)), "backend backend-handshake");
    assert.match(backendHandshakeFailed(failure).cause, /connection during the handshake$/);
  }
});

test("an errno has the same words on each runtime", () => {
  const cause = (code: string) => clientLost({ code, message: `${code}: some text, read` }).cause;
  assert.equal(cause("ECONNRESET"), "the client reset the connection");
  assert.equal(cause("EPIPE"), "the client reset the connection");
  assert.equal(cause("ETIMEDOUT"), "the client no longer answers");
  assert.equal(cause("EHOSTUNREACH"), "there is no route to the client");
  assert.equal(cause("EIO"), "EIO: some text, read");
});

test("a failed connect differs from a failed handshake", () => {
  const of = (code: string) => isConnectFailure({ code, message: "" });
  for (const code of ["ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "EADDRNOTAVAIL", "ENOENT"]) {
    assert.equal(of(code), true, code);
  }
  const handshake = ["ECONNRESET", "EPIPE", "EPROTO", "CERT_HAS_EXPIRED", "ERR_INTERNAL"];
  for (const code of [...handshake, "ERR_SSL_WRONG_VERSION_NUMBER", "wrong version number", ""]) {
    assert.equal(of(code), false, code);
  }
});

test("a backend that cannot be connected is an outage, one that resets is not", () => {
  const refused = backendUnreachable({ code: "ECONNREFUSED", message: "" });
  const noPorts = backendUnreachable({ code: "EADDRNOTAVAIL", message: "" });
  const handshake = backendHandshakeFailed({ code: "CERT_HAS_EXPIRED", message: "expired" });
  for (const failure of [refused, noPorts, handshake]) assert.equal(isOutage(failure), true);
  const reset = { code: "ECONNRESET", message: "reset" };
  const thrown = backendUnreachable({ code: "ERR_INTERNAL", message: "x is undefined" });
  for (const failure of [backendLost(reset), clientLost(reset), thrown]) {
    assert.equal(isOutage(failure), false);
  }
});
