/** Client certificates: the contract of src/runtime/, run against the runtime's adapter. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { join } from "node:path";
import * as runtime from "#runtime";
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
const crl = authority.revoke(revoked);

const UNKNOWN_ISSUER = /^UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)$/;
/** For such a certificate BoringSSL first reports the missing CRL. */
const SELF_SIGNED = /^(DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_GET_CRL)$/;
const ALERT = /alert (certificate required|handshake failure)/;

const untrusted: readonly [string, Issued, RegExp][] = [
  ["a revoked certificate", revoked, /^CERT_REVOKED$/],
  ["a certificate of another authority", stranger, UNKNOWN_ISSUER],
  ["a certificate that signed itself", itself, SELF_SIGNED],
];

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

    for (const [what, certificate, reason] of untrusted) {
      test(`${version}, ${mode}: ${what} is reported with its reason`, limit, async () => {
        const { port, visits, stop } = serve(always(verify(mode)));
        await visit(port, version, ...showing(certificate));
        await until(() => visits.at(-1)!.handler.closes === 1, "closed");
        const { facts, handler } = visits.at(-1)!;
        if (mode === "optional") assert.ok(facts, "an optional certificate ended the handshake");
        assert.match(facts ? facts.peer!.verifyError! : handler.failure!.code, reason);
        if (facts) assert.deepEqual(Buffer.from(facts.peer!.der), Buffer.from(certificate.der));
        await stop();
      });
    }

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
    assert.ok(visits.at(-1)!.handler.failure);
    await stop();
  });

  test(`${version}, optional: a client without a certificate is served`, limit, async () => {
    const { port, visits, stop } = serve(always(verify("optional")));
    assert.match(await visit(port, version), /GOT/);
    assert.equal(visits.at(-1)!.facts!.peer, undefined);
    await stop();
  });

  test(`${version}, optional: a resumed session does not become trusted`, limit, async () => {
    const { port, visits, stop } = serve(always(verify("optional")));
    const session = join(authority.directory, "session");
    await visit(port, version, ...showing(revoked), "-sess_out", session);
    await visit(port, version, ...showing(revoked), "-sess_in", session);
    assert.match(visits.at(-1)!.facts!.peer!.verifyError!, /^CERT_REVOKED$/);
    await stop();
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

test("several CAs, each with its CRL", limit, async () => {
  const settings: VerifySettings = {
    mode: "optional",
    ca: authority.ca + strangers.ca,
    crl: crl + strangers.revoke(),
  };
  const { port, visits, stop } = serve(always(settings));
  for (const certificate of [good, stranger, revoked]) await visit(port, ...showing(certificate));
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

function reasonOf({ facts, handler }: Visit): string {
  return facts ? facts.peer?.verifyError ?? "" : handler.failure?.code ?? "";
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
