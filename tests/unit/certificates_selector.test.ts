import { test } from "node:test";
import assert from "node:assert/strict";
import { CertificateSelector } from "../../src/certificates/selector.ts";
import type {
  FrontendTls,
  ServedTls,
  StoredCertificate,
  Trust,
} from "../../src/certificates/served_tls.ts";
import { frontend } from "../support/certificate_files.ts";

const none: Trust = { mode: "none", ca: "", crl: "" };
const required: Trust = { mode: "required", ca: "a CA", crl: "" };

type Kind = StoredCertificate["keyType"];

function certificate(names: string, keyType: Kind = "ec", trust?: number): StoredCertificate {
  const list = names === "" ? [] : names.split(" ");
  return { names: list, keyType, offset: 0, length: 0, ...(trust === undefined ? {} : { trust }) };
}

function command(
  certificates: readonly StoredCertificate[],
  ...frontends: readonly Partial<FrontendTls>[]
): ServedTls {
  const global = certificates.map((_, place) => place);
  const usual = { ...frontend(1).tls, own: [], global, sniNomatchAbort: false, trust: 0 };
  return {
    certificates,
    trusts: [none, required],
    frontends: frontends.map((more) => ({ ...usual, ...more })),
    alpn: [],
  };
}

/** The places of the certificates that serve a name, by the first frontend. */
function serving(tls: ServedTls, dualCertificates = true, place = 0) {
  const selector = new CertificateSelector(tls, place, dualCertificates);
  return (name: string) => {
    const identity = selector.select(name);
    return identity === undefined ? undefined : selector.material(identity).certificates;
  };
}

test("a name is matched exactly and regardless of case, by the first certificate that has it", () => {
  const select = serving(command([
    certificate("a.example shared.example"),
    certificate("b.example shared.example"),
    certificate("a.example c.example"),
  ], {}));
  assert.deepEqual(select("a.example"), [0]);
  assert.deepEqual(select("B.EXAMPLE"), [1]);
  assert.deepEqual(select("shared.example"), [0]);
  assert.deepEqual(select("c.example"), [2]);
});

test("without SNI and for an unknown name the last certificate is served", () => {
  const select = serving(command([certificate("a.example"), certificate("")], {}));
  assert.deepEqual(select(""), [1]);
  assert.deepEqual(select("unknown.example"), [1]);
  assert.deepEqual(select("a.example"), [0]);
});

test("a wildcard matches one label, and an exact name takes precedence", () => {
  const select = serving(command([
    certificate("*.x.example f*.x.example *"),
    certificate("exact.x.example"),
    certificate("other.example"),
  ], {}));
  assert.deepEqual(select("one.x.example"), [0]);
  assert.deepEqual(select("ONE.X.example"), [0]);
  assert.deepEqual(select("exact.x.example"), [1]);
  for (const name of ["x.example", "a.b.x.example", ".x.example", "foo.y.example", "single"]) {
    assert.deepEqual(select(name), [2], name);
  }
});

test("a frontend's own certificates go before the global ones, wildcards included", () => {
  const certificates = [
    certificate("a.example *.own.example"),
    certificate("b.example"),
    certificate("exact.own.example g.example *.global.example"),
    certificate("h.example"),
  ];
  const own = { own: [0, 1], global: [2, 3] };
  const select = serving(command(certificates, own));
  assert.deepEqual(select("exact.own.example"), [0]);
  assert.deepEqual(select("g.example"), [2]);
  assert.deepEqual(select("x.global.example"), [2]);
  assert.deepEqual(select("h.example"), [3]);
  assert.deepEqual(select("unknown.example"), [1]);
  assert.deepEqual(select(""), [1]);
  const alone = serving(command(certificates, { own: [0, 1], global: [] }));
  assert.deepEqual(alone("g.example"), [1]);
});

test("a frontend can refuse names that no certificate has, but never a client without SNI", () => {
  const tls = command([certificate("a.example")], { sniNomatchAbort: true });
  const select = serving(tls);
  assert.deepEqual(select("a.example"), [0]);
  assert.deepEqual(select(""), [0]);
  assert.equal(select("b.example"), undefined);
  assert.equal(new CertificateSelector(tls, 0, true).choice, true);
});

test("certificates for keys of several types serve a name side by side, the smallest first", () => {
  const certificates = [
    certificate("a.example b.example", "rsa"),
    certificate("a.example", "ec"),
    certificate("a.example", "ec"),
    certificate("a.example", "ed25519"),
    certificate("last.example", "rsa"),
    certificate("last.example www.last.example", "ec"),
    certificate("last.example", "rsa"),
  ];
  const select = serving(command(certificates, {}));
  assert.deepEqual(select("a.example"), [1, 3, 0]);
  assert.deepEqual(select("b.example"), [0]);
  assert.deepEqual(select("last.example"), [5, 4]);
  // The default brings its partners, but stays itself.
  assert.deepEqual(select("unknown.example"), [5, 6]);
  const single = serving(command(certificates, {}), false);
  assert.deepEqual(single("a.example"), [0]);
  assert.deepEqual(single("last.example"), [4]);
  assert.deepEqual(single(""), [6]);
});

test("names that no client should send are safe and match nothing", () => {
  const long = `${"a".repeat(63)}.`.repeat(4) + "example";
  const certificates = [
    certificate("a.example k.example __proto__ constructor"),
    certificate(long),
    certificate("default.example"),
  ];
  const select = serving(command(certificates, {}));
  const names = [
    "a.example.",
    ".a.example",
    "a..example",
    ".",
    "..",
    "*.",
    " a.example",
    "a.example\0",
    "a.example\n",
    "\u212A.example",
    "ä.example",
    long,
    "x".repeat(100_000),
    "toString",
  ];
  for (const name of names) assert.deepEqual(select(name), [2], JSON.stringify(name).slice(0, 40));
  assert.deepEqual(select("constructor"), [0]);
  assert.deepEqual(select("__proto__"), [0]);
});

test("client verification is that of the certificate, or else that of the frontend", () => {
  const tls = command(
    [
      certificate("plain.example", "ec"),
      certificate("strict.example", "ec", 1),
      certificate("strict.example", "rsa"),
      certificate("default.example"),
    ],
    {},
    { trust: 1 },
    { global: [0, 3] },
    { global: [0, 3], trust: 1 },
  );
  const trusts = (place: number) => {
    const selector = new CertificateSelector(tls, place, true);
    const of = (name: string) => selector.material(selector.select(name)!).trust.mode;
    return [of("plain.example"), of("strict.example"), of(""), selector.isMixed];
  };
  assert.deepEqual(trusts(0), ["none", "required", "none", true]);
  assert.deepEqual(trusts(1), ["required", "required", "required", false]);
  assert.deepEqual(trusts(2), ["none", "none", "none", false]);
  assert.deepEqual(trusts(3), ["required", "required", "required", false]);
});

test("there is a choice if there is more than one identity", () => {
  const choice = (...certificates: StoredCertificate[]) =>
    new CertificateSelector(command(certificates, {}), 0, true).choice;
  assert.equal(choice(certificate("a.example b.example *.c.example")), false);
  assert.equal(choice(certificate("a.example", "rsa"), certificate("a.example", "ec")), false);
  assert.equal(choice(certificate("a.example"), certificate("b.example")), true);
  assert.equal(choice(certificate("a.example"), certificate("")), true);
});

test("a frontend without certificates and an invalid identity are errors", () => {
  const tls = command([certificate("a.example")], { global: [] }, {});
  assert.throws(() => new CertificateSelector(tls, 0, true), /frontend 0 has no certificates/);
  const selector = new CertificateSelector(tls, 1, true);
  for (const number of [-1, 1, 0.5, NaN]) {
    assert.throws(() => selector.material(number), /there is no identity/);
  }
});

test("among hundreds of certificates each name finds its own, in every frontend", () => {
  const count = 300;
  const certificates = Array.from(
    { length: count },
    (_, i) =>
      certificate(`n${i}.example *.n${i}.example shared${i % 7}.example`, i % 2 ? "rsa" : "ec"),
  );
  const tls: ServedTls = JSON.parse(JSON.stringify(command(
    certificates,
    {},
    { own: [5], global: certificates.map((_, i) => i) },
  )));
  const first = serving(tls);
  const second = serving(tls, true, 1);
  for (let i = 0; i < count; i++) {
    for (const select of [first, second]) {
      assert.deepEqual(select(`n${i}.example`), [i]);
      assert.deepEqual(select(`www.N${i}.example`), [i]);
    }
  }
  // Seven is odd: each name is shared by certificates of both types.
  for (let i = 0; i < 7; i++) {
    const expected = i % 2 ? [i + 7, i] : [i, i + 7];
    assert.deepEqual(first(`shared${i}.example`), expected);
  }
  assert.deepEqual(second("shared5.example"), [5]);
  assert.deepEqual(first(""), [count - 1]);
  assert.deepEqual(second(""), [5]);
});
