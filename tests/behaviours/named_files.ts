/** Files that a user names: whatever the path refers to, nothing hangs and memory stays bounded. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const NOT_REGULAR = "it is not a regular file; specify one";

export const namedFiles: readonly Behaviour[] = [
  {
    name: "a pipe, device, socket or huge file instead of a regular one is refused in one line",
    async run(context) {
      const { target } = context;
      const directory = made(context);
      const socket = await makeSocket(context, directory);
      const huge = makeHuge(directory);
      const pipe = (name: string) => makePipe(directory, name);
      const verifying = target.verifyClients ? { ca: pipe("ca"), crl: pipe("crl") } : undefined;
      const secret = target.ticketKeys ? [pipe("secret")] : [];
      const names = [pipe("certificate"), pipe("passphrases"), ...Object.values(verifying ?? {})];
      const { code, stdout, stderr } = await runStud(target, [
        "--test",
        `--passphrase-file=${names[1]}`,
        ...(verifying ? ["--client-verify=required", `--client-verify-ca=${verifying.ca}`] : []),
        ...secret.map((path) => `--ticket-secret-file=${path}`),
        ...[names[0]!, "/dev/zero", socket, huge],
      ]);
      assert.deepEqual([code, stdout], [1, ""]);
      const expected = [
        ...[names[0]!, "/dev/zero", socket].map((path) => `PEM file ${path}: ${NOT_REGULAR}`),
        `--passphrase-file: ${names[1]}: ${NOT_REGULAR}`,
        ...(verifying ? [`--client-verify-ca: ${verifying.ca}: ${NOT_REGULAR}`] : []),
        ...secret.map((path) => `--ticket-secret-file: ${path}: ${NOT_REGULAR}`),
        `PEM file ${huge}: it is larger than 16777216 bytes; check that it is the right file`,
      ];
      const lines = stderr.trimEnd().split("\n");
      assert.deepEqual(lines.toSorted(), expected.map((line) => `stud: ${line}`).toSorted());
    },
  },
  {
    name: "a CRL and the CAs of the backend and of the ticket store that are pipes are refused",
    async run(context) {
      const { target, certificates } = context;
      const directory = made(context);
      const pipe = (name: string) => makePipe(directory, name);
      const refused = async (option: string, path: string, ...words: string[]) => {
        const { code, stderr } = await runStud(target, ["--test", ...words]);
        assert.equal(stderr, `stud: --${option}: ${path}: ${NOT_REGULAR}\n`);
        assert.equal(code, 1);
      };
      if (target.verifyClients) {
        const crl = pipe("crl");
        const verify = ["--client-verify=required", `--client-verify-ca=${certificates.ca}`];
        const words = [...verify, `--client-verify-crl=${crl}`];
        await refused("client-verify-crl", crl, ...words, certificates.localhost);
      }
      if (target.backendTrust) {
        const ca = pipe("backend-ca");
        await refused("client-verify-ca", ca, "--client", `--client-verify-ca=${ca}`);
      }
      if (target.ticketKeys) {
        const ca = pipe("store-ca");
        const secret = join(directory, "ticket-secret");
        writeFileSync(secret, "0123456789abcdef0123456789ABCDEF\n", { mode: 0o600 });
        const store = ["--ticket-store=rediss://127.0.0.1:1", `--ticket-store-ca=${ca}`];
        await refused(
          "ticket-store-ca",
          ca,
          `--ticket-secret-file=${secret}`,
          ...store,
          certificates.localhost,
        );
      }
    },
  },
  {
    name: "an endless configuration, or a pipe without a writer, is refused in time",
    async run(context) {
      const directory = made(context);
      const large = "it is larger than 16777216 bytes; check that it is the right file";
      const cases: [path: string, reason: string][] = [
        [
          makePipe(directory, "conf"),
          "the pipe is empty, and a pipe can be read only once; specify a regular file",
        ],
        [await makeSocket(context, directory), NOT_REGULAR],
        ["/dev/zero", large],
        [makeHuge(directory), large],
      ];
      for (const [path, reason] of cases) {
        const { code, stderr } = await runStud(context.target, ["--test", `--config=${path}`]);
        assert.equal(stderr, `stud: --config: ${path}: ${reason}\n`);
        assert.equal(code, 1);
      }
      const endless = inShell(context, '"$@" </dev/zero');
      const { code, stderr } = await runStud(endless, ["--test", "--config=-"]);
      assert.equal(stderr, `stud: --config: standard input: ${large}\n`);
      assert.equal(code, 1);
    },
  },
  {
    name: "an OCSP response that is a pipe is refused at once",
    appliesTo: ({ staples }) => staples,
    async run(context) {
      const directory = made(context);
      const [response, config] = [makePipe(directory, "response"), join(directory, "conf")];
      const { localhost } = context.certificates;
      const pem = `cert = "${localhost}" ocsp-resp-file = "${response}"`;
      writeFileSync(config, `pem-file = { ${pem} }\n`);
      const { code, stderr } = await runStud(context.target, ["--test", `--config=${config}`]);
      assert.ok(stderr.endsWith(`: ocsp-resp-file: ${response}: ${NOT_REGULAR}\n`), stderr);
      assert.equal(code, 1);
    },
  },
  {
    name: "a configuration and certificates from the shell's <(command) are served",
    async run(context) {
      const { a } = context.certificates;
      const config = join(made(context), "conf");
      writeFileSync(config, "keepalive = 1234\n");
      const target = inShell(context, `exec "$@" --config=<(cat '${config}') <(cat '${a}')`);
      const { port } = await context.echo();
      const stud = await context.like(target).stud([], { backend: port });
      const subject = () => subjectOf(context, stud, "a.example");
      assert.equal(await subject(), "a");
      stud.signal("SIGHUP");
      const failure = await stud.waitForLog(({ event }) => event === "reload-failed", "a line");
      assert.match(failure.message, /\/dev\/fd\/\d+: the pipe is empty, and a pipe can be read /);
      assert.equal(await subject(), "a");
    },
  },
  {
    name: "a certificate and passphrases from the shell's <(command) do not prevent a reload",
    async run(context) {
      const { a, b } = context.certificates;
      const script = `exec "$@" --passphrase-file=<(echo none) <(cat '${a}')`;
      const target = inShell(context, script);
      const other = join(made(context), "other.pem");
      execFileSync("cp", [b, other]);
      const stud = await context.like(target).stud([other], {
        backend: (await context.echo()).port,
      });
      execFileSync("cp", [context.certificates.rsa, other]);
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      const subject = (name: string) => subjectOf(context, stud, name);
      await until(async () => await subject("localhost") === "rsa", "the reloaded certificate");
      assert.equal(await subject("a.example"), "a");
      assert.equal(stud.logged("reload-failed").length, 0);
    },
  },
];

/** The target, started by bash: `$@` is its command line. */
function inShell({ target }: Context, script: string): Context["target"] {
  return { ...target, command: ["/bin/bash", "-c", script, "bash", ...target.command] };
}

/** The common name of the certificate that is served for a name. */
async function subjectOf(context: Context, stud: Stud, servername: string): Promise<string> {
  const client = await context.tls(stud.frontend, { servername });
  return client.getPeerCertificate().subject.CN as string;
}

function made(context: Context): string {
  return mkdtempSync(join(context.certificates.directory, "named-"));
}

function makePipe(directory: string, name: string): string {
  const path = join(directory, name);
  execFileSync("mkfifo", ["-m", "600", path]);
  return path;
}

async function makeSocket(context: Context, directory: string): Promise<string> {
  const path = join(directory, "socket");
  const server = createServer().listen(path);
  context.after(() => server.close());
  await once(server, "listening");
  return path;
}

/** A sparse file of a tebibyte that uses no disk space. */
function makeHuge(directory: string): string {
  const path = join(directory, "huge");
  writeFileSync(path, "");
  truncateSync(path, 2 ** 40);
  return path;
}
