import { test } from "node:test";
import assert from "node:assert/strict";
import {
  backendHandshakeFailed,
  backendLost,
  backendUnreachable,
  clientLost,
  handshakeFailed,
  isConnectFailure,
  isOutage,
} from "../../src/connection/failure.ts";

const text = ({ source, code }: { source: string; code: string }) => `${source} ${code}`;

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

test("plain HTTP is named in the cause", () => {
  const failure = { code: "EPROTO", message: "http request" };
  assert.equal(handshakeFailed(failure).cause, "plain HTTP was sent to the TLS port");
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
