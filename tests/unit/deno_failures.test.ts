import { test } from "node:test";
import assert from "node:assert/strict";
import { backendHandshakeFailed, handshakeFailed } from "../../src/connection/failure.ts";
import { handshakeFailureOf } from "../../src/runtime/deno/failures.ts";

const rustls = (message: string) =>
  handshakeFailureOf(Object.assign(new Error(message), { name: "InvalidData" }));

test("what rustls says of a backend's certificate has the words of the other builds", () => {
  const cases: [reason: string, words: RegExp][] = [
    ["UnknownIssuer", /^the backend's certificate is not trusted: its CA is unknown; /],
    ["Expired", /not trusted: it has expired$/],
    ["certificate expired: verification time 9 (UNIX)", /not trusted: it has expired$/],
    ["NotValidYet", /not trusted: it is not valid yet$/],
    [
      "Other(OtherError(CaUsedAsEndEntity))",
      /not trusted: it is a CA's certificate, which rustls /,
    ],
    [
      "certificate does not allow extended key usage for server authentication",
      /not trusted: it is not for servers$/,
    ],
    [
      'certificate not valid for name "db.example"; certificate is only valid for DnsName("x")',
      /^the backend's certificate is not valid for db\.example; set --backend-name$/,
    ],
  ];
  for (const [reason, words] of cases) {
    const failure = backendHandshakeFailed(rustls(`invalid peer certificate: ${reason}`));
    assert.equal(failure.code, "backend-handshake");
    assert.match(failure.cause, words);
  }
});

test("a ClientHello in too many segments is named", () => {
  const { code, cause } = handshakeFailed(
    handshakeFailureOf(Object.assign(new Error("operation would block"), { name: "WouldBlock" })),
  );
  assert.equal(
    `${code}: ${cause}`,
    "handshake-failed: its ClientHello came in more segments than Deno can wait for",
  );
});
