/** Client certificates: the contract of src/runtime/, run against the runtime's adapter. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { COMMON_SUITES } from "../../src/runtime/cipher_list.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import type { VerifySettings } from "../../src/runtime/tls.ts";
import type { Identity } from "../../src/runtime/tls.ts";
import {
  certificates,
  recorders,
  serve,
  settingsWith,
  until,
  type Visit,
  visit,
} from "../support/adapter.ts";
import { Authority, type Issued } from "../support/authority.ts";

const { capabilities, createTlsContext }: Runtime = runtime;
const limit = { timeout: 60_000, skip: !capabilities.verifyClients };
const swaps = { ...limit, skip: limit.skip || !capabilities.swapCertificates };
const versions = ["-tls1_2", "-tls1_3"];

const authority = new Authority("clients");
const strangers = new Authority("strangers");
const good = authority.issue("good");
const revoked = authority.issue("revoked");
const stranger = strangers.issue("stranger");
const itself = strangers.selfSigned("itself");
const expired = authority.issueExpired("expired");
const crl = authority.revoke(revoked);

const UNKNOWN_ISSUER = /^UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)$/;
const SELF_SIGNED = /^DEPTH_ZERO_SELF_SIGNED_CERT$/;
const ALERT = /alert (certificate required|handshake failure)/;

const untrusted: readonly [what: string, Issued, reason: RegExp, alert: RegExp][] = [
  ["a revoked certificate", revoked, /^CERT_REVOKED$/, /alert certificate revoked/],
  ["an expired certificate", expired, /^CERT_HAS_EXPIRED$/, /alert certificate expired/],
  ["a certificate of another authority", stranger, UNKNOWN_ISSUER, /alert unknown ca/],
  ["a certificate that signed itself", itself, SELF_SIGNED, /alert unknown ca/],
];

/** BoringSSL has completed a handshake of TLS 1.2 before Bun looks at the certificate. */
const isAlertSent = (version: string) =>
  (runtime as Runtime).name !== "bun" || version !== "-tls1_2";

for (const version of versions) {
  for (const mode of ["required", "optional"] as const) {
    test(`${version}, ${mode}: a trusted certificate is reported`, limit, async () => {
      const { port, visits, stop } = serve(always(verify(mode)));
      assert.match(await visit(port, version, ...showing(good)), /GOT/);
      const { peer } = visits.at(-1)!.facts!;
      assert.deepEqual(Buffer.from(peer!.der), Buffer.from(good.der));
      assert.equal(peer!.verifyError, undefined);
      await stop();
    });

    for (const [what, certificate, reason, alert] of untrusted) {
      test(`${version}, ${mode}: ${what} gets its alert and is reported`, limit, async () => {
        const { port, visits, stop } = serve(always(verify(mode)));
        const said = await visit(port, version, ...showing(certificate));
        await until(() => visits.at(-1)!.handler.closes === 1, "closed");
        await stop();
        const { facts, handler } = visits.at(-1)!;
        assert.equal(facts, undefined);
        assert.match(handler.failure!.certificate!, reason);
        assert.doesNotMatch(said, /GOT|errno/);
        if (isAlertSent(version)) assert.match(said, alert);
        else assert.doesNotMatch(said, /:error:/);
      });
    }

    test(`${version}, ${mode}: the alert is read though the client sends on`, limit, async () => {
      const { port, visits, stop } = serve(always(verify(mode)));
      for (let i = 0; i < 5; i++) {
        const said = await send("x".repeat(4096), port, version, ...showing(stranger));
        if (isAlertSent(version)) assert.match(said, /alert unknown ca/);
        assert.doesNotMatch(said, /errno/);
      }
      await until(() => visits.every(({ handler }) => handler.closes === 1), "closed");
      await stop();
    });

    test(`${version}, ${mode}: a resumed session reports the same`, limit, async () => {
      const { port, visits, stop } = serve(always(verify(mode)));
      const session = join(authority.directory, "session");
      await visit(port, version, ...showing(good), "-sess_out", session);
      const said = await visit(port, version, ...showing(good), "-sess_in", session);
      assert.match(said, /^Reused/m);
      const { peer, resumed } = visits.at(-1)!.facts!;
      assert.equal(resumed, true);
      assert.deepEqual(Buffer.from(peer!.der), Buffer.from(good.der));
      assert.equal(peer!.verifyError, undefined);
      await stop();
    });
  }

  test(`${version}, required: a client without a certificate gets an alert`, limit, async () => {
    const { port, visits, stop } = serve(always(verify("required")));
    assert.match(await visit(port, version), ALERT);
    await until(() => visits.at(-1)!.handler.closes === 1, "closed");
    assert.equal(visits.at(-1)!.facts, undefined);
    assert.equal(visits.at(-1)!.handler.failure!.certificate, "");
    await stop();
  });

  test(`${version}, optional: a client without a certificate is served`, limit, async () => {
    const { port, visits, stop } = serve(always(verify("optional")));
    assert.match(await visit(port, version), /GOT/);
    assert.equal(visits.at(-1)!.facts!.peer, undefined);
    await stop();
  });

  test(`${version}, optional: a refused certificate leaves no session`, limit, async () => {
    const { port, visits, stop } = serve(always(verify("optional")));
    const session = join(authority.directory, `refused${version}`);
    await visit(port, version, ...showing(revoked), "-sess_out", session);
    const resuming = existsSync(session) ? ["-sess_in", session] : [];
    const said = await visit(port, version, ...showing(revoked), ...resuming);
    await until(() => visits.every(({ handler }) => handler.closes === 1), "closed");
    await stop();
    assert.doesNotMatch(said, /GOT/);
    const reasons = visits.map(({ handler }) => handler.failure?.certificate);
    assert.deepEqual(reasons, ["CERT_REVOKED", "CERT_REVOKED"]);
  });

  for (const mode of ["required", "optional"] as const) {
    test(`${version}: a name requests one if the default does not (${mode})`, limit, async () => {
      const { port, visits, stop } = serve(byName(undefined, verify(mode)));
      assert.match(await visit(port, version, "-servername", "a.test", ...showing(good)), /GOT/);
      assert.equal(visits.at(-1)!.facts!.peer, undefined);
      assert.match(await visit(port, version, "-servername", "b.test", ...showing(good)), /GOT/);
      assert.deepEqual(Buffer.from(visits.at(-1)!.facts!.peer!.der), Buffer.from(good.der));
      const said = await visit(port, version, "-servername", "b.test");
      assert.match(said, mode === "required" ? ALERT : /GOT/);
      await visit(port, version, "-servername", "b.test", ...showing(revoked));
      await until(() => visits.at(-1)!.handler.closes === 1, "closed");
      assert.equal(reasonOf(visits.at(-1)!), "CERT_REVOKED");
      await stop();
    });

    test(`${version}: a name requests none if the default does (${mode})`, limit, async () => {
      const { port, visits, stop } = serve(byName(verify(mode), undefined));
      assert.match(await visit(port, version, "-servername", "b.test"), /GOT/);
      assert.match(await visit(port, version, "-servername", "b.test", ...showing(itself)), /GOT/);
      assert.equal(visits.at(-1)!.facts!.peer, undefined);
      const said = await visit(port, version, "-servername", "a.test");
      assert.match(said, mode === "required" ? ALERT : /GOT/);
      await stop();
    });
  }

  test(`${version}: each name trusts its own CA`, limit, async () => {
    const other: VerifySettings = { mode: "required", ca: strangers.ca, crl: "" };
    const { port, visits, stop } = serve(byName(verify("required"), other));
    const said = await visit(port, version, "-servername", "b.test", ...showing(stranger));
    assert.match(said, /Acceptable client certificate CA names\n.*CN ?= ?strangers/);
    assert.equal(visits.at(-1)!.facts!.peer!.verifyError, undefined);
    await visit(port, version, "-servername", "b.test", ...showing(good));
    await until(() => visits.at(-1)!.handler.closes === 1, "closed");
    assert.match(reasonOf(visits.at(-1)!), UNKNOWN_ISSUER);
    const others = await visit(port, version, "-servername", "a.test", ...showing(good));
    assert.match(others, /Acceptable client certificate CA names\n.*CN ?= ?clients/);
    assert.equal(visits.at(-1)!.facts!.peer!.verifyError, undefined);
    await stop();
  });

  test(`${version}: a session of a name without verification opens no other`, limit, async () => {
    const { port, stop } = serve(byName(undefined, verify("required")));
    const session = join(authority.directory, "session");
    const first = await visit(port, version, "-servername", "a.test", "-sess_out", session);
    assert.match(first, /GOT/);
    const second = await visit(port, version, "-servername", "b.test", "-sess_in", session);
    assert.doesNotMatch(second, /GOT/);
    await stop();
  });

  test(`${version}: new settings request certificates from now on`, swaps, async () => {
    const { port, listener, stop } = serve(always(undefined));
    const session = join(authority.directory, "session");
    assert.match(await visit(port, version, "-sess_out", session), /GOT/);
    listener.update(createTlsContext(settingsWith(always(verify("required")))));
    assert.doesNotMatch(await visit(port, version, "-sess_in", session), /GOT/);
    assert.match(await visit(port, version), ALERT);
    assert.match(await visit(port, version, ...showing(good)), /GOT/);
    listener.update(createTlsContext(settingsWith(always(undefined))));
    assert.match(await visit(port, version), /GOT/);
    await stop();
  });
}

test("after new settings, names still request as configured", swaps, async () => {
  const { port, listener, stop } = serve(byName(undefined, undefined));
  const update = (settings: Partial<TlsSettings>) =>
    listener.update(createTlsContext(settingsWith(settings)));
  const visitAs = (name: string, client: Issued) =>
    visit(port, "-servername", name, ...showing(client));
  update(byName(undefined, verify("required")));
  assert.match(await visit(port, "-servername", "a.test"), /GOT/);
  assert.match(await visit(port, "-servername", "b.test"), ALERT);
  assert.match(await visitAs("b.test", good), /GOT/);
  update(byName(verify("required"), undefined));
  assert.match(await visit(port, "-servername", "b.test"), /GOT/);
  assert.match(await visit(port, "-servername", "a.test"), ALERT);
  assert.match(await visit(port, "-noservername"), ALERT);
  assert.match(await visitAs("a.test", good), /GOT/);
  await stop();
});

test("-tls1_3: with each suite the alert can be read, or at least the end", limit, async () => {
  const { port, visits, stop } = serve(always(verify("required")));
  for (const suite of COMMON_SUITES) {
    const said = await visit(port, "-tls1_3", "-ciphersuites", suite, ...showing(stranger));
    await until(() => visits.at(-1)!.handler.closes === 1, "closed");
    assert.match(visits.at(-1)!.handler.failure!.certificate!, UNKNOWN_ISSUER);
    // Bun's `node:crypto` lacks ChaCha20-Poly1305.
    const isSilent = (runtime as Runtime).name === "bun" && suite.includes("CHACHA20");
    if (isSilent) assert.doesNotMatch(said, /:error:|errno/);
    else assert.match(said, /alert unknown ca/);
  }
  await stop();
});

test("several CAs, each with its CRL", limit, async () => {
  const settings: VerifySettings = {
    mode: "optional",
    ca: authority.ca + strangers.ca,
    crl: crl + strangers.revoke(),
  };
  const { port, visits, stop } = serve(always(settings));
  for (const certificate of [good, stranger, revoked]) await visit(port, ...showing(certificate));
  await until(() => visits.at(-1)!.handler.closes === 1, "closed");
  assert.deepEqual(visits.map(reasonOf), ["", "", "CERT_REVOKED"]);
  await stop();
});

test("no CRL is needed", limit, async () => {
  const { port, visits, stop } = serve(always({ ...verify("required"), crl: "" }));
  assert.match(await visit(port, ...showing(revoked)), /GOT/);
  assert.equal(visits.at(-1)!.facts!.peer!.verifyError, undefined);
  await visit(port, ...showing(itself));
  await until(() => visits.at(-1)!.handler.closes === 1, "closed");
  assert.match(reasonOf(visits.at(-1)!), /^DEPTH_ZERO_SELF_SIGNED_CERT$/);
  await stop();
});

test("every stream closed once, and its events came in order", limit, () => {
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

/** A client that sends `text` as soon as it can, and more until it is refused. */
async function send(text: string, port: number, ...options: string[]): Promise<string> {
  const where = ["s_client", "-connect", `127.0.0.1:${port}`, "-quiet", ...options];
  const child = spawn("openssl", where, { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (bytes: Uint8Array) => said += new TextDecoder().decode(bytes));
  child.stdin.on("error", () => {});
  child.stdin.write(text);
  const timer = setInterval(() => child.stdin.write(text), 10);
  await once(child, "close");
  clearInterval(timer);
  return said;
}

function reasonOf({ facts, handler }: Visit): string {
  return facts ? facts.peer?.verifyError ?? "" : handler.failure?.certificate ?? "none";
}

function verify(mode: VerifySettings["mode"]): VerifySettings {
  return { mode, ca: authority.ca, crl };
}

function always(settings: VerifySettings | undefined): Partial<TlsSettings> {
  return { identity: () => identity(0, settings) };
}

/** `b.test` has its own settings. */
function byName(
  others: VerifySettings | undefined,
  b: VerifySettings | undefined,
): Partial<TlsSettings> {
  return {
    choice: true,
    select: (serverName) => serverName === "b.test" ? 1 : 0,
    identity: (number) => identity(number, number === 1 ? b : others),
  };
}

function identity(number: number, settings: VerifySettings | undefined): Identity {
  return {
    certificates: [certificates[number]!],
    ...(settings ? { verify: settings } : {}),
  };
}

function showing({ file }: Issued): string[] {
  return ["-cert", file, "-key", file];
}
