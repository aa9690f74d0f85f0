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
import { run } from "../support/commands.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { type LogLine, runStud, type Stud } from "../support/stud.ts";
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
    name: "a client that is not trusted gets the alert for the reason, which the log has in words",
    needs: ["openssl"],
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const revoked = `--client-verify-crl=${revoking(context, "b")}`;
      const cases: [pem: string, alert: RegExp, cause: string][] = [
        [strangerPem(context), /alert unknown ca/, "certificate not trusted: its CA is unknown"],
        [
          expiredPem(context),
          /alert certificate expired/,
          "certificate not trusted: it has expired",
        ],
        [
          context.certificates.b,
          /alert certificate revoked/,
          "certificate not trusted: it is revoked",
        ],
        ["", /alert (handshake failure|certificate required)/, "no certificate"],
      ];
      for (const version of ["-tls1_2", "-tls1_3"]) {
        const { stud, backend } = await guarded(context, [...required(context), revoked]);
        for (const [pem, alert, cause] of cases) {
          const shown = pem === "" ? [] : ["-cert", pem, "-key", pem];
          const where = ["s_client", "-connect", endpointText(stud.frontend), version, "-ign_eof"];
          const { stderr } = await run("openssl", [...where, ...shown]);
          // BoringSSL has completed a handshake of TLS 1.2 before Bun looks at the certificate.
          const isLate = context.target.runtime === "bun" && version === "-tls1_2" && pem !== "";
          if (isLate) assert.doesNotMatch(stderr, /:error:|errno/);
          else assert.match(stderr, alert);
          const isIt = (line: LogLine) =>
            line.code === "client-certificate" && line.cause === cause;
          await stud.waitForLog(isIt, cause);
        }
        assert.equal(backend.connections(), 0);
      }
    },
  },
  {
    name: "the alert arrives after a reload that begins to verify clients",
    needs: ["openssl"],
    appliesTo: ({ verifyClients }) => verifyClients,
    async run(context) {
      const config = join(mkdtempSync(join(context.certificates.directory, "alert-")), "conf");
      const frontend = await freeEndpoint();
      const backend = await counting(context);
      const write = (more: string) =>
        writeFileSync(
          config,
          `frontend = "[${frontend.host}]:${frontend.port}"\nbackend = "[127.0.0.1]:${backend.port}"
           pem-file = "${context.certificates.a}"\nworkers = 1\nlog-format = "json"\n${more}\n`,
        );
      const verify = `client-verify = required\nclient-verify-ca = "${context.certificates.ca}"`;
      write("");
      const options = { backend: backend.port, frontend, exact: true };
      const stud = await context.launch([`--config=${config}`], options);
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      const pem = strangerPem(context);
      const visit = async () => {
        const where = ["s_client", "-connect", endpointText(frontend), "-tls1_3", "-ign_eof"];
        return (await run("openssl", [...where, "-cert", pem, "-key", pem])).stderr;
      };
      assert.doesNotMatch(String(await exchange(frontend, "hello")), /alert/);
      write(verify);
      stud.signal("SIGHUP");
      await stud.waitForLog((line) => line.event === "reloaded", "the reload");
      await until(async () => /alert unknown ca/.test(await visit()), "the alert");
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

function strangerPem({ certificates }: Context): string {
  const file = join(mkdtempSync(join(certificates.directory, "stranger-")), "pem");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const words = ["req", "-x509", ...curve, "-keyout", file, "-out", `${file}.crt`];
  execFileSync("openssl", [...words, "-subj", "/CN=stranger"], { stdio: "pipe" });
  writeFileSync(file, readFileSync(file, "utf8") + readFileSync(`${file}.crt`, "utf8"));
  return file;
}

/** With the key of `a`. */
function expiredPem(context: Context): string {
  const { directory } = context.certificates;
  const file = join(mkdtempSync(join(directory, "expired-")), "pem");
  const key = join(directory, "a.key");
  const request = ["req", "-new", "-key", key, "-subj", "/CN=old", "-out", `${file}.csr`];
  execFileSync("openssl", request, { stdio: "pipe" });
  const dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"];
  authority(context, (ca) => {
    ca(["-batch", "-in", `${file}.csr`, "-out", `${file}.crt`, "-notext", ...dates]);
  });
  writeFileSync(file, readFileSync(key, "utf8") + readFileSync(`${file}.crt`, "utf8"));
  return file;
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
function revoking(context: Context, name: string): string {
  const { directory } = context.certificates;
  const file = join(mkdtempSync(join(directory, "crl-")), "revoked.crl");
  authority(context, (ca) => {
    ca(["-revoke", join(directory, `${name}.crt`)]);
    ca(["-gencrl", "-out", file]);
  });
  return file;
}

/** Calls `openssl ca` for the test CA. */
function authority({ certificates }: Context, use: (ca: (words: string[]) => void) => void): void {
  const directory = mkdtempSync(join(certificates.directory, "ca-"));
  mkdirSync(join(directory, "new"));
  const file = (base: string) => join(directory, base);
  writeFileSync(file("index.txt"), "");
  writeFileSync(file("crlnumber"), "01\n");
  writeFileSync(
    file("ca.cnf"),
    `[ca]\ndefault_ca = it\n[it]\ndatabase = ${file("index.txt")}\ncrlnumber = ${file("crlnumber")}
default_md = sha256\ndefault_crl_days = 2\nnew_certs_dir = ${file("new")}
rand_serial = yes\npolicy = any\n[any]\ncommonName = supplied\n`,
  );
  const issuer = ["-cert", certificates.ca, "-keyfile", certificates.ca.replace(/crt$/, "key")];
  use((words) =>
    execFileSync("openssl", ["ca", "-config", file("ca.cnf"), ...issuer, ...words], {
      stdio: "pipe",
    })
  );
}
