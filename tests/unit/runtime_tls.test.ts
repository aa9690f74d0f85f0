/**
 * The contract of src/runtime/ for the parameters of a handshake: ALPN, groups, ciphers, certificates,
 * staples, sessions; run against the adapter of the runtime that executes this file. What that runtime
 * lacks is skipped. Peers are `openssl s_client` of OpenSSL 3.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";
import * as runtime from "#runtime";
import { randomSecret } from "../../src/tickets/ring.ts";
import { TicketKeys } from "../../src/tickets/ticket_keys.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { TlsFacts } from "../../src/runtime/tls.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import type { Identity } from "../../src/runtime/tls.ts";
import type { Certificate } from "../../src/runtime/tls.ts";
import type { Capabilities } from "../../src/runtime/capabilities.ts";
import {
  certificates,
  create,
  listen,
  type Listening,
  Recorder,
  recorders,
  server,
  settingsWith,
  text,
  until,
} from "../support/adapter.ts";

const { capabilities, createTlsContext, loadEngine }: Runtime = runtime;
const limit = { timeout: 60_000 };

/** BoringSSL changes them too, by its own clock; rustls has sessions, no tickets. */
const ring = { ...limit, skip: !(runtime as Runtime).capabilities.ticketKeys };

const directory = mkdtempSync(join(tmpdir(), "stud-tls-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const rsa = await createRsa("rsa.test");
const ecdsa = await create("ecdsa.test");
const dual: Identity = { certificates: [ecdsa, rsa] };

test("of the common protocols, the server's preferred one is used", limit, async () => {
  const frontend = greeting({ alpn: ["h2", "http/1.1"] });
  const said = await visit(frontend, "-alpn", "http/1.1,h2");
  assert.match(said, /^ALPN protocol: h2$/m);
  if (capabilities.tlsFacts) assert.equal(frontend.facts[0]!.alpn, "h2");
  await frontend.stop();
});

test("a client that offers only other protocols gets the alert for it", limit, async () => {
  const frontend = greeting({ alpn: ["h2", "http/1.1"] });
  assert.match(await visit(frontend, "-alpn", "imap"), /alert number 120/);
  await until(() => frontend.handlers[0]!.closes === 1, "closed");
  assert.equal(frontend.handlers[0]!.opens, 0);
  assert.ok(frontend.handlers[0]!.failure);
  await frontend.stop();
});

for (const alpn of [["h2"], []]) {
  test(`no protocol is negotiated if one side offers none (${alpn})`, limit, async () => {
    const frontend = greeting({ alpn });
    const options = alpn.length > 0 ? [] : ["-alpn", "h2"];
    assert.match(await visit(frontend, ...options), /^No ALPN negotiated$/m);
    assert.equal(frontend.facts[0]!.alpn, undefined);
    await frontend.stop();
  });
}

test("only the chosen groups are used", needing("curves"), async () => {
  const frontend = greeting({ curves: "P-384:P-256", identity: () => ({ certificates: [rsa] }) });
  for (const version of [["-tls1_2", "-cipher", "ECDHE"], ["-tls1_3"]]) {
    const common = await visit(frontend, ...version, "-groups", "X25519:P-384");
    assert.match(common, /Server Temp Key: ECDH, .*384/);
    const none = await visit(frontend, ...version, "-groups", "X25519");
    assert.match(none, /alert handshake failure/);
  }
  await frontend.stop();
});

test("only the chosen suites of TLS 1.3 are used", needing("ciphersuites"), async () => {
  const suite = "TLS_AES_128_GCM_SHA256";
  const frontend = greeting({ ciphersuites: suite });
  assert.match(await visit(frontend, "-tls1_3"), cipherUsed(suite));
  const refused = await visit(frontend, "-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384");
  assert.match(refused, /alert number 40/);
  assert.match(await visit(frontend, "-tls1_2"), cipherUsed("ECDHE-ECDSA-"));
  await frontend.stop();
});

test("by default only forward secrecy and authenticated encryption", limit, async () => {
  const frontend = greeting({ identity: () => ({ certificates: [rsa] }) });
  for (const cipher of ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "AES128-SHA"]) {
    const refused = await visit(frontend, "-tls1_2", "-cipher", cipher);
    assert.match(refused, /alert number 40/, cipher);
  }
  const cipher = "ECDHE-RSA-CHACHA20-POLY1305";
  assert.match(await visit(frontend, "-tls1_2", "-cipher", cipher), cipherUsed(cipher));
  await frontend.stop();
});

test("a configured cipher list is used unchanged", needing("ciphers"), async () => {
  const ciphers = "AES128-SHA";
  const frontend = greeting({ ciphers, identity: () => ({ certificates: [rsa] }) });
  assert.match(await visit(frontend, "-tls1_2", "-cipher", ciphers), cipherUsed(ciphers));
  await frontend.stop();
});

test("versions before TLS 1.2 have ciphers by default", needing("chooseProtocols"), async () => {
  const frontend = greeting({ protocols: ["TLSv1.0", "TLSv1.1", "TLSv1.2"] });
  const old = await visit(frontend, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
  assert.match(old, cipherUsed("ECDHE-ECDSA-AES"));
  await frontend.stop();
});

test("ciphers of TLS 1.2 do not affect those of TLS 1.3", needing("ciphers"), async () => {
  const cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
  const frontend = greeting({ ciphers: cipher });
  assert.match(await visit(frontend, "-tls1_2"), cipherUsed(cipher));
  for (const suite of ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]) {
    assert.match(await visit(frontend, "-tls1_3", "-ciphersuites", suite), cipherUsed(suite));
  }
  await frontend.stop();
});

for (const preferServerCiphers of [true, false]) {
  const whose = preferServerCiphers ? "server" : "client";
  test(`the ${whose}'s order of ciphers counts`, needing("preferServerCiphers"), async () => {
    const ours = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const theirs = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const frontend = greeting({ ciphers: `${ours}:${theirs}`, preferServerCiphers });
    const said = await visit(frontend, "-tls1_2", "-cipher", `${theirs}:${ours}`);
    assert.match(said, cipherUsed(preferServerCiphers ? ours : theirs));
    await frontend.stop();
  });
}

for (const version of ["-tls1_2", "-tls1_3"]) {
  test(
    `a client gets the certificate it can verify (${version})`,
    needing("dualCertificates"),
    async () => {
      const frontend = greeting({ identity: () => dual });
      for (const [sigalgs, certificate] of [[RSA, rsa], [ECDSA, ecdsa]] as const) {
        const said = await visit(frontend, version, "-sigalgs", sigalgs);
        assert.match(said, subjectOf(certificate));
        const { presented } = frontend.facts.at(-1)!;
        if (presented) assert.deepEqual(new Uint8Array(presented), der(certificate));
      }
      await frontend.stop();
    },
  );

  test(
    `another name's certificates are not used instead (${version})`,
    needing("dualCertificates"),
    async () => {
      const identities: Identity[] = [dual, { certificates: [certificates[1]!] }];
      const frontend = greeting({
        choice: true,
        select: (name) => name === "b.test" ? 1 : 0,
        identity: (number) => identities[number]!,
      });
      const visitB = (sigalgs: string) =>
        visit(frontend, version, "-sigalgs", sigalgs, "-servername", "b.test");
      assert.match(await visitB(ECDSA), subjectOf(certificates[1]!));
      assert.match(await visitB(RSA), /alert number 40/);
      await frontend.stop();
    },
  );
}

test("the presented certificate is reported, if the library does", limit, async () => {
  const frontend = greeting({});
  await visit(frontend);
  const { presented } = frontend.facts[0]!;
  if (presented) assert.deepEqual(new Uint8Array(presented), der(certificates[0]!));
  await frontend.stop();
});

test("DH parameters make DHE ciphers work", needing("dhParameters"), async () => {
  const dhParameters = execFileSync(
    "openssl",
    ["genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"],
    { encoding: "utf8" },
  );
  const ciphers = "DHE-RSA-AES128-GCM-SHA256";
  const frontend = greeting({ ciphers, identity: () => ({ certificates: [rsa], dhParameters }) });
  const said = await visit(frontend, "-tls1_2");
  assert.match(said, cipherUsed(ciphers));
  assert.match(said, /Server Temp Key: DH, 2048 bits/);
  await frontend.stop();

  const without = greeting({ ciphers, identity: () => ({ certificates: [rsa] }) });
  assert.match(await visit(without, "-tls1_2"), /alert number 40/);
  await without.stop();
});

test("invalid DH parameters are refused", needing("dhParameters"), () => {
  const pem = (type: string, base64: string) =>
    `-----BEGIN ${type}-----\n${base64}\n-----END ${type}-----\n`;
  const refused = [
    "garbage",
    pem("DH PARAMETERS", "AAAA"),
    pem("DH PARAMETERS", "MAYCAQU="),
    certificates[0]!.chain,
    // Numbers far too small: 23 and 5.
    pem("DH PARAMETERS", "MAYCARcCAQU="),
  ];
  for (const dhParameters of refused) {
    const identity = () => ({ certificates: [rsa], dhParameters });
    assert.throws(() => createTlsContext(settingsWith({ identity })), Error, dhParameters);
  }
});

test("a response is stapled for clients that request one", needing("staples"), async () => {
  const asked: string[] = [];
  // OCSPResponse with the status tryLater (RFC 6960 section 4.2.1).
  const responses = [Uint8Array.of(0x30, 3, 0x0a, 1, 3), undefined];
  const frontend = greeting({
    choice: true,
    select: (name) => name === "b.test" ? 1 : 0,
    identity: (number) => ({
      certificates: [certificates[number]!],
      staple() {
        asked.push(certificates[number]!.chain);
        return responses[number];
      },
    }),
  });
  for (const version of ["-tls1_2", "-tls1_3"]) {
    const said = await visit(frontend, version, "-status", "-servername", "a.test");
    assert.match(said, /OCSP Response Status: trylater/);
    const other = await visit(frontend, version, "-status", "-servername", "b.test");
    assert.match(other, /OCSP response: no response sent/);
    assert.match(other, subjectOf(certificates[1]!));
  }
  assert.deepEqual(asked, [0, 1, 0, 1].map((number) => certificates[number]!.chain));
  await visit(frontend, "-servername", "a.test");
  assert.equal(asked.length, 4);
  await frontend.stop();
});

for (const version of ["1.2", "1.3"] as const) {
  const option = `-tls${version.replace(".", "_")}`;

  test(`a session of TLS ${version} resumes`, limit, async () => {
    const frontend = greeting({});
    const session = join(directory, `resumed${option}`);
    assert.match(await visit(frontend, option, "-sess_out", session), /^New, /m);
    assert.match(await visit(frontend, option, "-sess_in", session), /^Reused, /m);
    const resumptions = frontend.facts.map(({ resumed }) => resumed);
    if (resumptions[0] !== undefined) assert.deepEqual(resumptions, [false, true]);
    await frontend.stop();
  });

  test(`a session of TLS ${version} outlives a change of ticket keys`, ring, async () => {
    const [first, second, third] = [randomSecret(), randomSecret(), randomSecret()];
    const ticketKeys = new TicketKeys({ secrets: [first], current: 0 });
    const frontend = greeting({ ticketKeys });
    const session = join(directory, `changed${option}`);
    await visit(frontend, option, "-sess_out", session);
    ticketKeys.use({ secrets: [first, second], current: 1 });
    assert.match(await visit(frontend, option, "-sess_in", session), /^Reused, /m);
    ticketKeys.use({ secrets: [second, third], current: 1 });
    assert.match(await visit(frontend, option, "-sess_in", session), /^New, /m);
    await frontend.stop();
  });

  test(`no session of TLS ${version} resumes if tickets are off`, limit, async () => {
    const frontend = greeting({ tickets: false });
    const session = join(directory, `full${option}`);
    await visit(frontend, option, "-sess_out", session);
    if (existsSync(session)) {
      assert.match(await visit(frontend, option, "-sess_in", session), /^New, /m);
    }
    assert.ok(frontend.facts.every(({ resumed }) => !resumed));
    await frontend.stop();
  });

  test(
    `new certificates serve new clients, and sessions of TLS ${version} resume`,
    needing("swapCertificates"),
    async () => {
      const frontend = greeting({});
      const session = join(directory, `updated${option}`);
      await visit(frontend, option, "-sess_out", session);
      frontend.listener.update(createTlsContext(settingsWith({})));
      assert.match(await visit(frontend, option, "-sess_in", session), /^Reused, /m);
      const identity = () => ({ certificates: [certificates[1]!] });
      frontend.listener.update(createTlsContext(settingsWith({ identity })));
      assert.match(await visit(frontend, option), subjectOf(certificates[1]!));
      await frontend.stop();
    },
  );
}

test("an identity is requested when it is first needed", limit, async () => {
  const asked: number[] = [];
  const frontend = greeting({
    choice: true,
    select: (name) => name === "b.test" ? 1 : 0,
    identity(number) {
      asked.push(number);
      return { certificates: [certificates[number]!] };
    },
  });
  assert.deepEqual(asked, [0]);
  for (let i = 0; i < 2; i++) {
    assert.match(await visit(frontend, "-servername", "b.test"), subjectOf(certificates[1]!));
  }
  assert.deepEqual(asked, [0, 1]);
  assert.match(await visit(frontend, "-servername", "a.test"), subjectOf(certificates[0]!));
  await frontend.stop();
});

test("an unusable default identity is an error at start", () => {
  const mistakes: TlsSettings["identity"][] = [
    () => assert.fail("the store cannot be read"),
    () => ({ certificates: [{ ...certificates[0]!, key: certificates[1]!.key }] }),
  ];
  for (const identity of mistakes) {
    assert.throws(() => createTlsContext(settingsWith({ identity })), Error);
  }
});

test("an unknown engine is refused in one line", () => {
  const isRefusal = (error: unknown) =>
    error instanceof Error && /^.+$/.test(error.message) &&
    (!capabilities.engines || error.message.includes("no-such-engine"));
  assert.throws(() => loadEngine("no-such-engine"), isRefusal);
});

test("all engines can be registered, and TLS still works", needing("engines"), async () => {
  loadEngine("auto");
  const frontend = greeting({ identity: () => ({ certificates: [rsa] }) });
  assert.match(await visit(frontend), subjectOf(rsa));
  await frontend.stop();
});

test("every stream closed once, and its events came in order", limit, async () => {
  await until(
    () => recorders.every((handler) => !handler.isTaken || handler.closes === 1),
    "closed",
  );
  assert.deepEqual(recorders.flatMap((handler) => handler.violations), []);
});

interface Greeting extends Listening {
  /** The facts of each session when it was open. */
  readonly facts: TlsFacts[];
}

/** Greets every client and answers its FIN. */
/** An application data record whose authentication fails. */
const FORGED = Uint8Array.of(23, 3, 3, 0, 40, ...new Uint8Array(40));

test(
  "a forged record after the handshake is the client's failure, with an alert",
  limit,
  async () => {
    const frontend = greeting({});
    let forge = () => {};
    const relay = await server((client) => {
      const upstream = connect(frontend.port, "127.0.0.1");
      upstream.on("error", () => {});
      client.pipe(upstream).pipe(client);
      forge = () => void upstream.write(FORGED);
    });
    const { port } = relay.address() as AddressInfo;
    const said = await converse(port, ["-ign_eof"], () => forge());
    assert.match(said, /alert number 20/);
    const [handler] = frontend.handlers;
    await until(() => handler!.closes === 1, "closed");
    assert.ok(handler!.failure);
    assert.notEqual(handler!.failure.code, "ERR_INTERNAL");
    await frontend.stop();
  },
);

function greeting(settings: Partial<TlsSettings>): Greeting {
  const facts: TlsFacts[] = [];
  const handlers: Recorder[] = [];
  const listening = listen({
    settings,
    accepted(stream) {
      const handler = new Recorder({
        opened() {
          facts.push(stream.tls());
          stream.write(text(GREETING));
        },
        ended: () => stream.finish(),
      });
      handlers.push(handler);
      return handler.take(stream);
    },
  });
  return { ...listening, handlers, facts };
}

/**
 * Returns the output of `openssl s_client` on a connection that lasts until the greeting: tickets come
 * before it.
 */
function visit({ port }: Listening, ...options: string[]): Promise<string> {
  return converse(port, options, (child) => child.stdin.end());
}

/** As {@link visit}; `greeted` is called at the greeting, and s_client ends when the connection does. */
async function converse(
  port: number,
  options: readonly string[],
  greeted: (child: ChildProcessWithoutNullStreams) => void,
): Promise<string> {
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, ...options];
  const child = spawn("openssl", args, { stdio: ["pipe", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), limit.timeout);
  let said = "";
  for (const output of [child.stdout, child.stderr]) {
    output.on("data", (bytes: Uint8Array) => {
      said += new TextDecoder().decode(bytes);
      // It may be in the middle of a line: s_client writes it past its own buffer.
      if (said.includes(GREETING)) greeted(child);
    });
  }
  child.stdin.on("error", () => {});
  await once(child, "close");
  clearTimeout(timer);
  return said;
}

/** Skips a test if the runtime lacks the capability. */
function needing(capability: keyof Capabilities): { timeout: number; skip: boolean } {
  return { ...limit, skip: !capabilities[capability] };
}

async function createRsa(name: string): Promise<Certificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: name }], {
    keyType: "rsa",
    keySize: 2048,
    algorithm: "sha256",
  });
  return { chain: cert, key };
}

function der({ chain }: Certificate): Uint8Array {
  return new Uint8Array(new X509Certificate(chain).raw);
}

function subjectOf({ chain }: Certificate): RegExp {
  const [, name] = /CN=(\S+)/.exec(new X509Certificate(chain).subject)!;
  return new RegExp(`^subject=CN = ${name!.replaceAll(".", "\\.")}$`, "m");
}

function cipherUsed(name: string): RegExp {
  return new RegExp(`^New, .*, Cipher is ${name}`, "m");
}

const GREETING = "good morning\n";
const RSA = "rsa_pss_rsae_sha256:RSA+SHA256";
const ECDSA = "ECDSA+SHA256";
