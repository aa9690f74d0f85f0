import { test } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { BasicOCSPResponse, OCSPResponse } from "pkijs";
import { UsageError } from "../../src/base/errors.ts";
import { MAX_RESPONSE } from "../../src/ocsp/messages.ts";
import { createRequest } from "../../src/ocsp/request.ts";
import { checkResponse, validityProblem } from "../../src/ocsp/response.ts";
import { readResponseFile } from "../../src/ocsp/response_file.ts";
import { readSubject, responderOf } from "../../src/ocsp/subject.ts";
import {
  answer,
  type CertificateOptions,
  chain,
  file,
  makeCertificate,
  opensslRequest,
} from "../support/ocsp.ts";

// The first bit is set, so that the number has a zero byte in front.
const serial = 0x8123;
const DAY_MS = 86_400_000;

makeCertificate("ca");
makeCertificate("leaf", {
  issuer: "ca",
  serial,
  extensions: [
    "authorityInfoAccess=caIssuers;URI:http://a.test/,OCSP;URI:ldap://b.test/,OCSP;URI:http://c.test/x,OCSP;URI:http://d.test/",
  ],
});
makeCertificate("other", { issuer: "ca", serial: 2 });
const subject = readSubject(chain("leaf", "ca"));
const request = createRequest(subject);
const good = answer(request, serial);
const strictly = { verify: true };

test("the request equals openssl's", () => {
  assert.deepEqual(Buffer.from(request), Buffer.from(opensslRequest(["leaf"], "ca")));
});

test("the responder is the first HTTP one of the certificate", () => {
  assert.equal(subject.responder, "http://c.test/x");
  assert.equal(responderOf(chain("other")), undefined);
});

test("the issuer is found anywhere in the chain, and its absence is reported", () => {
  assert.equal(readSubject(chain("leaf", "other", "ca")).issuer.subject, "CN=ca");
  assert.throws(() => readSubject(chain("leaf", "other")), /unable to find its issuer/);
  makeCertificate("namesake", { commonName: "ca" });
  assert.throws(() => readSubject(chain("leaf", "namesake")), /unable to find its issuer/);
});

test("a good response says until when it may be served", () => {
  const { from, until } = checkResponse(good, subject, strictly);
  assert.equal(until! - from, DAY_MS);
  assert.ok(Math.abs(Date.now() - from) < 60_000);
  assert.equal(validityProblem({ from, until: until! }, Date.now()), undefined);
  assert.match(validityProblem({ from, until: until! }, until!)!, /^the OCSP response expired on /);
  assert.match(validityProblem({ from }, from - DAY_MS)!, /^the OCSP response is valid only from /);
});

test("a response can be without nextUpdate", () => {
  const validity = checkResponse(answer(request, serial, { days: 0 }), subject, strictly);
  assert.equal(validity.until, undefined);
  assert.equal(validityProblem(validity, Date.now() + 1000 * DAY_MS), undefined);
});

test("the certificate may be identified by SHA-256 as well", () => {
  const asked = opensslRequest(["leaf"], "ca", "-sha256");
  checkResponse(answer(asked, serial), subject, strictly);
});

for (const key of ["rsa", "ed25519"] as const) {
  test(`a response signed with ${key} is verified`, () => {
    const issuer = `ca-${key}`;
    makeCertificate(issuer, { key });
    makeCertificate(`leaf-${key}`, { issuer, serial });
    const own = readSubject(chain(`leaf-${key}`, issuer));
    checkResponse(
      answer(createRequest(own), serial, { ca: issuer, signer: issuer }),
      own,
      strictly,
    );
  });
}

test("a response signed with RSA-PSS is verified", () => {
  makeCertificate("ca-pss", { key: "rsa" });
  makeCertificate("leaf-pss", { issuer: "ca-pss", serial });
  const own = readSubject(chain("leaf-pss", "ca-pss"));
  const response = answer(createRequest(own), serial, {
    ca: "ca-pss",
    signer: "ca-pss",
    options: ["-rsigopt", "rsa_padding_mode:pss", "-rsigopt", "rsa_pss_saltlen:32"],
  });
  checkResponse(response, own, strictly);
});

for (const [status, days] of [["revoked", 1], ["unknown", 1]] as const) {
  test(`a certificate whose status is ${status} has no staple`, () => {
    const response = answer(request, serial, { status, days });
    assert.throws(
      () => checkResponse(response, subject, { verify: false }),
      new RegExp(`^Error: the certificate's status is ${status}$`),
    );
  });
}

test("a response for another certificate is refused", () => {
  const response = answer(opensslRequest(["other"], "ca"), 2);
  assert.throws(() => checkResponse(response, subject, { verify: false }), /has 0 answers/);
});

test("the answer for the certificate is found among others", () => {
  checkResponse(answer(opensslRequest(["other", "leaf"], "ca"), serial), subject, strictly);
  const twice = answer(opensslRequest(["leaf", "leaf"], "ca"), serial);
  assert.throws(() => checkResponse(twice, subject, strictly), /has 2 answers/);
});

/** A responder other than the issuer, and whether it may sign. */
const delegates: readonly (readonly [string, boolean, CertificateOptions])[] = [
  ["appointed", true, { issuer: "ca", extensions: ["extendedKeyUsage=OCSPSigning"] }],
  ["not appointed", false, { issuer: "ca", extensions: ["extendedKeyUsage=serverAuth"] }],
  ["without a purpose", false, { issuer: "ca" }],
  ["appointed by itself", false, { extensions: ["extendedKeyUsage=OCSPSigning"] }],
];
for (const [index, [what, isAccepted, options]] of delegates.entries()) {
  test(`a responder that is ${what} is ${isAccepted ? "accepted" : "refused"}`, () => {
    const signer = `delegate${index}`;
    makeCertificate(signer, options);
    const response = answer(request, serial, { signer });
    if (isAccepted) checkResponse(response, subject, strictly);
    else assert.throws(() => checkResponse(response, subject, strictly), /is not signed by/);
    checkResponse(response, subject, { verify: false });
  });
}

test("a response that was changed is refused when its signature counts", () => {
  const changed = withYear(good, "2019");
  assert.throws(() => checkResponse(changed, subject, strictly), /is not signed by/);
  const validity = checkResponse(changed, subject, { verify: false });
  assert.match(validityProblem(validity, Date.now())!, /expired on 20/);
});

test("a responder's refusal is reported by name", () => {
  const refusal = Uint8Array.of(0x30, 0x03, 0x0a, 0x01, 0x06);
  assert.throws(
    () => checkResponse(refusal, subject, strictly),
    /the responder refused to answer \(unauthorized\)/,
  );
  const noBytes = Uint8Array.of(0x30, 0x03, 0x0a, 0x01, 0x00);
  assert.throws(() => checkResponse(noBytes, subject, strictly), /not of the basic type/);
});

test("data that is not a response is refused in one line", () => {
  const broken: Uint8Array[] = [
    new Uint8Array(0),
    new TextEncoder().encode("<html>\n<body>captive portal</body></html>"),
    good.subarray(0, good.length - 1),
    Buffer.concat([good, Uint8Array.of(0)]),
    new Uint8Array(MAX_RESPONSE).fill(0x30),
    new Uint8Array(MAX_RESPONSE + 1),
  ];
  for (const bytes of broken) {
    assert.throws(
      () => checkResponse(bytes, subject, { verify: false }),
      (error: Error) => error.constructor === Error && !error.message.includes("\n"),
    );
  }
});

test("each byte of the signed part counts, and no broken byte does worse than a refusal", () => {
  const basic = OCSPResponse.fromBER(good).responseBytes!.response.getValue();
  const signed = BasicOCSPResponse.fromBER(basic).tbsResponseData.tbsView;
  const begin = Buffer.from(good).indexOf(signed);
  assert.ok(begin > 0 && signed.length > 100);
  for (let place = 0; place < good.length; place++) {
    const changed = Uint8Array.from(good);
    changed[place]! ^= 0x41;
    try {
      checkResponse(changed, subject, strictly);
    } catch (error) {
      assert.ok(error instanceof Error && !error.message.includes("\n"), String(error));
      continue;
    }
    assert.ok(place < begin || place >= begin + signed.length, `byte ${place} does not count`);
  }
});

test("a response file is loaded, and errors name the file", () => {
  const path = file("response.der");
  writeFileSync(path, good);
  const loaded = readResponseFile(path, chain("leaf", "ca"), true);
  assert.equal(loaded.response, Buffer.from(good).toString("base64"));
  assert.equal(loaded.until! > Date.now(), true);
  assert.equal(loaded.warning, undefined);
  writeFileSync(path, withYear(good, "2019"));
  assert.match(readResponseFile(path, chain("leaf", "ca"), false).warning!, /expired on .*; it is/);
  assert.throws(() => readResponseFile(path, chain("leaf", "ca"), true), refusalOf(path));
  assert.throws(() => readResponseFile(path, chain("leaf"), false), refusalOf(path));
  assert.throws(() => readResponseFile(file("none"), chain("leaf", "ca"), false), UsageError);
});

function refusalOf(path: string): (error: Error) => boolean {
  return (error) => error instanceof UsageError && error.message.startsWith(`${path}: `);
}

/** All its dates in another year, which breaks the signature. */
function withYear(response: Uint8Array, year: string): Uint8Array {
  const text = Buffer.from(response).toString("latin1");
  return Buffer.from(text.replaceAll(/20\d\d(?=\d{10}Z)/g, year), "latin1");
}
