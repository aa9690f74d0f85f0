/** `stud check` against OpenSSL's server: its verdicts on chains and protocols. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "../../src/check/check.ts";
import { loadAuthorities } from "../../src/check/authorities.ts";
import { parseTarget } from "../../src/check/target.ts";
import { Chains } from "../support/chains.ts";

const chains = new Chains();
const WEAK = ["rsa:1024"];
chains.issue("root", { ca: true });
chains.issue("middle", { issuer: "root", ca: true });
chains.issue("other", { ca: true });
chains.issue("stray", { issuer: "other", ca: true });
const NAMES = "DNS:good.test, DNS:*.wild.test, IP:127.0.0.1";
const good = { issuer: "middle", names: NAMES };
chains.issue("good", good);
const ca = chains.bundle("root");
const trusted = loadAuthorities(ca);

/** The findings, as `level topic text`, of a server with this chain. */
async function verdicts(
  chain: readonly string[],
  options: readonly string[] = [],
  given: Parameters<typeof inspect>[1] = {},
): Promise<{ readonly all: string[]; readonly bad: string[] }> {
  const port = await chains.serve(chain, options);
  const found = await inspect(
    parseTarget(`127.0.0.1:${port}`),
    { servername: "good.test", timeout: 20, ...given },
    trusted,
  );
  const all = found.verdicts.map(({ level, topic, text }) => `${level} ${topic} ${text}`);
  for (const { level, text, remedy } of found.verdicts) {
    assert.equal(level === "ok" || level === "unknown", remedy === undefined, text);
  }
  return { all, bad: all.filter((each) => !each.startsWith("ok ")) };
}

/** What OpenSSL 3.0's server, which has no ML-KEM, always gets. */
const noQuantum = /^warning group .*no post-quantum group/;

test("a complete chain of a trusted CA has no problem", async () => {
  const { all, bad } = await verdicts(["good", "middle"]);
  assert.deepEqual(bad.filter((each) => !noQuantum.test(each)), []);
  assert.ok(all.some((each) => /^ok chain complete and in order, with 1 intermediate$/.test(each)));
  assert.ok(all.some((each) => /^ok names it is for good\.test$/.test(each)), all.join("\n"));
  assert.ok(all.some((each) => /^ok trust it leads to CN=root in /.test(each)), all.join("\n"));
  assert.ok(all.some((each) => /^ok resumption TLS 1.3: by ticket, 2 of 2/.test(each)));
  assert.ok(all.some((each) => /^ok resumption TLS 1.2: by ticket, 3 of 3/.test(each)));
});

test("mistakes in the chain are named", async () => {
  const cases: readonly (readonly [string[], ...RegExp[]])[] = [
    [
      ["good"],
      /^problem chain an intermediate certificate is missing.* CN=middle was not sent/,
      /^problem trust /,
    ],
    [["good", "middle", "root"], /^warning chain the root is sent too.*CN=root/],
    [["good", "root", "middle"], /^warning chain the wrong order/, /^warning chain the root/],
    [["good", "middle", "stray"], /^warning chain superfluous.*CN=stray/],
    [["good", "middle", "middle"], /^warning chain sent twice: CN=middle/],
    [["good", "middle", "good"], /^warning chain sent twice: CN=good/],
  ];
  for (const [chain, ...expected] of cases) {
    const { bad } = await verdicts(chain);
    const rest = bad.filter((each) => !noQuantum.test(each));
    assert.equal(rest.length, expected.length, `${chain}: ${rest.join("\n")}`);
    for (const pattern of expected) {
      assert.ok(rest.some((each) => pattern.test(each)), `${pattern} in ${rest.join("\n")}`);
    }
  }
});

test("a leaf that is not first is named", async () => {
  const { bad } = await verdicts(["middle", "good"]);
  assert.ok(bad.some((each) => /^problem chain the wrong order: .* number 2, not 1/.test(each)));
});

test("names, dates, keys, signatures and purposes are judged", async () => {
  const weakServer = ["-cipher", "ALL@SECLEVEL=0"];
  chains.issue("expired", { ...good, start: -30, end: -3 });
  chains.issue("early", { ...good, start: 3 });
  chains.issue("soon", { ...good, end: 12.5 });
  chains.issue("weak", { ...good, key: WEAK });
  chains.issue("sha1", { ...good, digest: "sha1" });
  chains.issue("nameless", { ...good, names: "" });
  chains.issue("client", { ...good, extensions: "extendedKeyUsage = clientAuth" });
  chains.issue("must", { ...good, extensions: "tlsfeature = status_request" });
  chains.issue("alone", { names: NAMES });
  chains.issue("old", { names: NAMES, digest: "sha1" });
  const cases: readonly (readonly [string, RegExp, string[]?])[] = [
    ["expired", /^problem validity the certificate expired 3 days ago, on /],
    ["early", /^problem validity the certificate is not valid before /],
    ["soon", /^warning validity the certificate ends in 12 days, on /],
    ["weak", /^problem key the certificate has an RSA key of 1024 bits/, weakServer],
    ["sha1", /^problem key the certificate is signed with SHA-1/, weakServer],
    ["nameless", /^problem names there is no subjectAltName/],
    ["client", /^problem trust .*is not for servers/],
    ["must", /^problem OCSP the certificate requires a staple/],
    ["alone", /^problem trust it is self-signed/],
    ["old", /^warning key ECDSA P-256, signed with SHA-1 with ECDSA$/, weakServer],
  ];
  for (const [leaf, pattern, options = []] of cases) {
    const { bad } = await verdicts([leaf, "middle"], options);
    assert.ok(bad.some((each) => pattern.test(each)), `${leaf}: ${bad.join("\n")}`);
  }
});

test("the certificate must be for the name or address", async () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ["good.test", true],
    ["GOOD.test", true],
    ["a.wild.test", true],
    ["wild.test", false],
    ["a.b.wild.test", false],
    ["bad.test", false],
    ["127.0.0.1", true],
    ["127.0.0.2", false],
    ["", true],
  ];
  const port = await chains.serve(["good", "middle"]);
  for (const [servername, isGood] of cases) {
    const target = parseTarget(`127.0.0.1:${port}`);
    const { verdicts } = await inspect(target, { servername, timeout: 20 }, trusted);
    const own = verdicts.find(({ topic }) => topic === "names");
    assert.equal(own?.level, isGood ? "ok" : "problem", servername);
  }
});

test("a server with which no handshake can be completed is named with the reason", async () => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-tls1_3"], /insists on TLS_CHACHA20_POLY/],
    [["-groups", "P-521", "-tls1_3"], /insists on P-521/],
    [["-tls1_2", "-cipher", "ECDHE-ECDSA-CAMELLIA128-SHA256"], /the alert handshake_failure/],
  ];
  for (const [options, message] of cases) {
    await assert.rejects(verdicts(["good", "middle"], options), { name: "CheckFault", message });
  }
});

test("versions, ciphers, groups, ALPN and resumption are judged", async () => {
  const rsa = { ...good, key: ["rsa:2048"] };
  chains.issue("rsa", rsa);
  const old = ["-cipher", "ALL:@SECLEVEL=0", "-tls1"];
  const cases: readonly (readonly [string, string[], ...RegExp[]])[] = [
    [
      "only 1.2",
      ["-tls1_2"],
      /^warning versions TLS 1.3 is not offered/,
      /^ok resumption TLS 1.2: by ticket/,
    ],
    ["only 1.3", ["-tls1_3"], /^ok versions TLS 1\.3$/],
    ["only 1.0", old, /^problem versions only TLS 1.0, which current clients refuse/],
    ["1.0 too", ["-cipher", "ALL:@SECLEVEL=0"], /^warning versions TLS 1.1 and TLS 1.0 are old/],
    ["session id", ["-tls1_2", "-no_ticket"], /^ok resumption TLS 1.2: by session id, 3 of 3/],
    ["none", ["-tls1_2", "-no_ticket", "-no_cache"], /^warning resumption TLS 1.2: not offered/],
    [
      "CBC",
      ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
      /^warning cipher ECDHE-RSA-AES128-SHA lacks/,
    ],
    [
      "RSA",
      ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
      /^warning cipher AES128-GCM-SHA256 lacks/,
      /^ok resumption TLS 1.2: by ticket/,
    ],
    [
      "retry",
      ["-groups", "P-384"],
      /^warning group P-384; no post/,
      /^ok resumption TLS 1.3: by ticket, 2 of 2/,
    ],
    [
      "AES-256",
      ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
      /^ok cipher TLS_AES_256_GCM_SHA384/,
      /^ok resumption TLS 1.3/,
    ],
    [
      "retry with AES-256",
      ["-groups", "P-384", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
      /^ok resumption TLS 1.3/,
    ],
    ["ALPN", ["-alpn", "http/1.1"], /^ok ALPN http\/1\.1, of h2, http\/1\.1/],
    [
      "other ALPN",
      ["-alpn", "mqtt"],
      /^warning ALPN the server refuses clients that offer h2, http\/1\.1/,
    ],
  ];
  for (const [what, options, ...patterns] of cases) {
    const { all } = await verdicts(["rsa", "middle"], options);
    for (const pattern of patterns) {
      assert.ok(
        all.some((each) => pattern.test(each)),
        `${what}: ${pattern} in\n${all.join("\n")}`,
      );
    }
  }
});

test("a staple is read in both versions", async () => {
  const extensions = "tlsfeature = status_request\nauthorityInfoAccess = OCSP;URI:http://o.test/";
  chains.issue("stapled", { ...good, extensions });
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["stapled", "V", /^ok OCSP good, less than an hour old, valid until /],
    ["stapled", "R", /^problem OCSP the CA has revoked the certificate/],
    ["good", "V", /^problem OCSP the staple is for another certificate/],
  ];
  for (const [about, status, pattern] of cases) {
    const response = chains.ocspResponse(about, "middle", status);
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const { all } = await verdicts(["stapled", "middle"], ["-status_file", response, version]);
      assert.ok(all.some((each) => pattern.test(each)), `${pattern} in\n${all.join("\n")}`);
    }
  }
});

test("a server that requests or requires client certificates is examined as far as possible", async () => {
  const cases = [["-verify", "requested"], ["-Verify", "required"]] as const;
  for (const [option, expected] of cases) {
    for (const version of ["-tls1_2", "-tls1_3"]) {
      const port = await chains.serve(["good", "middle"], [option, "1", version]);
      const target = parseTarget(`127.0.0.1:${port}`);
      const { facts, verdicts } = await inspect(target, { timeout: 20 }, trusted);
      assert.equal(facts.clientCertificate, expected);
      assert.equal(facts.served.certificates.length, 2);
      const isKnown = verdicts.filter(({ topic }) => topic === "resumption" || topic === "end")
        .every(({ text }) => !text.includes("requires a client certificate"));
      assert.equal(isKnown, expected === "requested");
      const isUnknown = verdicts.some(({ topic, level }) => topic === "end" && level === "unknown");
      assert.equal(isUnknown, expected === "required");
    }
  }
});

test("the certificate for the other kind of key is examined too, and that of other names", async () => {
  chains.issue("rsa-expired", { ...good, key: ["rsa:2048"], start: -9, end: -2 });
  const pair = ["-dcert", "rsa-expired.crt", "-dkey", "rsa-expired.key"];
  const others = ["-servername", "good.test", "-cert2", "good.crt", "-key2", "good.key"];
  chains.issue("fallback", good);
  const cases: readonly (readonly [string[], string[], RegExp])[] = [
    [
      ["good", "middle"],
      pair,
      /^problem validity for clients that want RSA: .* expired/,
    ],
    [["good", "middle"], [], /^ok SNI no name gets the same certificate/],
    [["fallback", "middle"], others, /^ok SNI no name gets another certificate/],
    [["fallback", "middle"], others, /^ok SNI an unknown name gets another certificate/],
  ];
  for (const version of ["-tls1_2", "-tls1_3"]) {
    for (const [chain, options, pattern] of cases) {
      const { all } = await verdicts(chain, [...options, version]);
      assert.ok(all.some((each) => pattern.test(each)), `${pattern} in\n${all.join("\n")}`);
    }
  }
});
