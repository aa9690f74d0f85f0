/** Whether clients must present a certificate, and which of them reach the backend. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import type { Backend } from "../support/backend.ts";
import { refuses } from "../support/capability.ts";
import { exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

export const clientCertificates: readonly Behaviour[] = [
  {
    name: "--client-verify=required accepts clients with a certificate of the CA",
    async run(context) {
      const words = required(context);
      if (!context.target.verifyClients) return await refuses(context, "verifyClients", words);
      const { stud, backend } = await guarded(context, words);
      for (const version of VERSIONS) {
        const answer = await exchange(stud.frontend, "hello", {
          ...of(context, "a"),
          ...only(version),
        });
        assert.equal(String(answer), "hello");
      }
      assert.equal(backend.connections(), 2);
    },
  },
  {
    name: "--client-verify=required refuses clients without a certificate, and connects no backend",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { stud, backend } = await guarded(context, required(context));
      for (const version of VERSIONS) await isRefused(stud.frontend, only(version));
      assert.equal(backend.connections(), 0);
      await until(() => stud.failures().length === 2, "the failures are logged");
    },
  },
  {
    name: "a certificate of another CA is refused, whether required or optional",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const stranger = selfSigned(context);
      for (const mode of ["required", "optional"]) {
        const words = [`--client-verify=${mode}`, `--client-verify-ca=${context.certificates.ca}`];
        const { stud, backend } = await guarded(context, words);
        for (const version of VERSIONS) {
          await isRefused(stud.frontend, { ...stranger, ...only(version) });
        }
        assert.equal(backend.connections(), 0);
      }
    },
  },
  {
    name: "--client-verify=optional accepts clients without a certificate",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const words = ["--client-verify=optional", `--client-verify-ca=${context.certificates.ca}`];
      const { stud } = await guarded(context, words);
      for (const client of [{}, of(context, "a")]) {
        assert.equal(String(await exchange(stud.frontend, "hello", client)), "hello");
      }
    },
  },
  {
    name: "--client-verify-crl refuses a revoked certificate",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const words = [...required(context), `--client-verify-crl=${revoking(context, "b")}`];
      const { stud, backend } = await guarded(context, words);
      assert.equal(String(await exchange(stud.frontend, "hello", of(context, "a"))), "hello");
      await isRefused(stud.frontend, of(context, "b"));
      assert.equal(backend.connections(), 1);
    },
  },
  {
    name: "one certificate of a frontend can require a client certificate while others do not",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { frontend, backend } = await mixed(context);
      const open = { servername: "b.example" };
      const closed = { servername: "a.example" };
      assert.equal(String(await exchange(frontend, "hello", open)), "hello");
      await isRefused(frontend, closed);
      const known = { ...closed, ...of(context, "localhost") };
      assert.equal(String(await exchange(frontend, "hello", known)), "hello");
      assert.equal(backend.connections(), 2);
    },
  },
  {
    name: "one frontend can require a client certificate while another does not",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { a, ca } = context.certificates;
      const closed = await freeEndpoint();
      const block = `host = "${closed.host}" port = "${closed.port}" pem-file = "${a}"`;
      const { frontend: open } = await configured(
        context,
        `frontend = { ${block} client-verify = required client-verify-ca = "${ca}" }
         pem-file = "${a}"`,
      );
      assert.equal(String(await exchange(open, "hello")), "hello");
      await isRefused(closed, {});
      assert.equal(String(await exchange(closed, "hello", of(context, "b"))), "hello");
    },
  },
  {
    name: "resume-across-trust-policy: no session of an open name is resumed for one that verifies",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const { frontend, backend } = await mixed(context);
      for (const version of VERSIONS) {
        const first = await openTls(frontend, { servername: "b.example", ...only(version) });
        let session = first.getSession();
        first.on("session", (ticket) => session = ticket);
        first.write("hello");
        await until(() => String(first.read() ?? "") === "hello", "the echo");
        first.destroy();
        const before = backend.connections();
        const again = { servername: "a.example", ...only(version), ...session ? { session } : {} };
        await isRefused(frontend, again);
        assert.equal(backend.connections(), before);
      }
    },
  },
  {
    name: "client-verify without a CA is refused",
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const words = ["--client-verify=required", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /client-verify-ca/);
    },
  },
];

/** An echo backend that counts its connections. */
interface Counting extends Backend {
  connections(): number;
}

async function counting(context: Context): Promise<Counting> {
  let count = 0;
  const backend = await context.backend((socket) => {
    count++;
    socket.pipe(socket);
  });
  return Object.assign(backend, { connections: () => count });
}

async function guarded(
  context: Context,
  words: readonly string[],
): Promise<{ stud: Stud; backend: Counting }> {
  const backend = await counting(context);
  return { stud: await context.stud(words, { backend: backend.port }), backend };
}

/** `a.example` requires a client certificate, `b.example` and the default do not. */
function mixed(context: Context): Promise<{ frontend: Endpoint; backend: Counting }> {
  const { a, b, ca } = context.certificates;
  return configured(
    context,
    `pem-file = { cert = "${a}" client-verify = required client-verify-ca = "${ca}" }
     pem-file = "${b}"`,
  );
}

/** Starts stud with its own frontend and `text` in hitch's grammar. */
async function configured(
  context: Context,
  text: string,
): Promise<{ frontend: Endpoint; backend: Counting }> {
  const backend = await counting(context);
  const frontend = await freeEndpoint();
  const file = join(mkdtempSync(join(context.certificates.directory, "verify-")), "stud.conf");
  writeFileSync(
    file,
    `frontend = "[${frontend.host}]:${frontend.port}"
     backend = "[127.0.0.1]:${backend.port}"
     workers = 1
     log-format = "json"
     ${text}\n`,
  );
  const options = { backend: backend.port, frontend, exact: true };
  const stud = await context.launch([`--config=${file}`], options);
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  return { frontend, backend };
}

function required({ certificates }: Context): string[] {
  return ["--client-verify=required", `--client-verify-ca=${certificates.ca}`];
}

/** Options of a client with one of the test certificates. */
function of({ certificates }: Context, name: "a" | "b" | "localhost"): ConnectionOptions {
  const pem = readFileSync(certificates[name]);
  return { cert: pem, key: pem };
}

function only(version: (typeof VERSIONS)[number]): ConnectionOptions {
  return { minVersion: version, maxVersion: version };
}

/** With TLS 1.3 a client learns this only after its own side of the handshake. */
async function isRefused(frontend: Endpoint, client: ConnectionOptions): Promise<void> {
  const answer = exchange(frontend, "hello", client).then(String);
  assert.notEqual(await answer.catch(() => "refused"), "hello");
}

function selfSigned({ certificates }: Context): ConnectionOptions {
  const directory = mkdtempSync(join(certificates.directory, "stranger-"));
  const [key, cert] = [join(directory, "key"), join(directory, "crt")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const words = ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-subj", "/CN=stranger"];
  execFileSync("openssl", words, { stdio: "pipe" });
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

/** A CRL of the test CA that revokes one certificate. */
function revoking({ certificates }: Context, name: string): string {
  const directory = mkdtempSync(join(certificates.directory, "crl-"));
  mkdirSync(join(directory, "new"));
  const file = (base: string) => join(directory, base);
  writeFileSync(file("index.txt"), "");
  writeFileSync(file("crlnumber"), "01\n");
  writeFileSync(
    file("ca.cnf"),
    `[ca]\ndefault_ca = it\n[it]\ndatabase = ${file("index.txt")}\ncrlnumber = ${file("crlnumber")}
default_md = sha256\ndefault_crl_days = 2\nnew_certs_dir = ${file("new")}\n`,
  );
  const issuer = ["-cert", certificates.ca, "-keyfile", certificates.ca.replace(/crt$/, "key")];
  const ca = (words: readonly string[]) =>
    execFileSync("openssl", ["ca", "-config", file("ca.cnf"), ...issuer, ...words], {
      stdio: "pipe",
    });
  ca(["-revoke", join(certificates.directory, `${name}.crt`)]);
  ca(["-gencrl", "-out", file("revoked.crl")]);
  return file("revoked.crl");
}
