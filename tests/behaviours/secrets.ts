/** Secrets are neither in a log nor anywhere else that other users can read. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ending, openTcp, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { copiesIn } from "../support/process_memory.ts";
import { isAlive, killIfAlive } from "../support/processes.ts";
import { runStud } from "../support/stud.ts";
import { root } from "../support/target.ts";
import { until } from "../support/until.ts";
import { reloaded } from "./reload.ts";

/** Found nowhere unless something stores what it should only pass on. */
const PAYLOAD = "a-payload-that-nobody-else-has";
const SAN = ["-addext", "subjectAltName=DNS:localhost"];
const PASSPHRASE = "a passphrase that opens the only key";
/** The terminal recorder of util-linux. */
const SCRIPT = "/usr/bin/script";

export const secrets: readonly Behaviour[] = [
  {
    name: "neither keys nor payload are ever logged, whether connections succeed or fail",
    async run(context) {
      const { ca, localhost } = context.certificates;
      const verify = context.target.verifyClients
        ? ["--client-verify=optional", `--client-verify-ca=${ca}`]
        : [];
      const backend = await context.backend((socket) =>
        socket.on("data", (bytes) => {
          if (bytes.includes("reset")) socket.resetAndDestroy();
          else socket.write(bytes);
        })
      );
      const words = ["--log-level=2", "--write-proxy-v2", ...verify, localhost];
      const stud = await context.stud(words, { backend: backend.port });
      const pem = readFileSync(localhost);
      for (
        const identity of [{}, ...context.target.verifyClients ? [{ cert: pem, key: pem }] : []]
      ) {
        const client = await openTls(stud.frontend, identity);
        client.write(PAYLOAD);
        await until(() => String(client.read() ?? "").includes(PAYLOAD), "the echo");
        // The backend's reset while the client's bytes are in flight.
        client.write(`${PAYLOAD} reset`);
        await ending(client);
        client.destroy();
      }
      // Payload instead of TLS.
      const plain = await openTcp(stud.frontend);
      plain.write(`GET /${PAYLOAD} HTTP/1.1\r\n\r\n`);
      await ending(plain);
      plain.destroy();
      await until(() => stud.failures().length >= 2, "the failures are logged");
      await stud.stop();
      assert.ok(stud.stderr.includes("connection-established"), "connections are logged in detail");
      const output = stud.stderr + stud.stdout;
      assert.ok(!output.includes(PAYLOAD), "payload");
      for (const line of keyLines(String(pem))) assert.ok(!output.includes(line), "key");
    },
  },
  {
    name: "a key that cannot be used is not shown in the error about it",
    async run(context) {
      const { localhost, b, directory } = context.certificates;
      const key = String(readFileSync(localhost)).split("-----BEGIN CERTIFICATE-----")[0]!;
      const { raw } = new X509Certificate(readFileSync(b));
      const file = `${directory}/mismatch.pem`;
      const body = raw.toString("base64").replaceAll(/.{64}/g, "$&\n");
      writeFileSync(
        file,
        `${key}-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`,
      );
      const { code, stderr } = await runStud(context.target, [file]);
      assert.equal(code, 1);
      assert.ok(stderr.includes(file), stderr);
      for (const line of keyLines(key)) assert.ok(!stderr.includes(line), "key");
    },
  },
  ...(["PKCS#8", "traditional"] as const).map((form): Behaviour => ({
    name: `a passphrase from a file (${form}) is not in the master's memory once the keys are read`,
    async run(context) {
      const { directory, file, write } = makeEncrypted(context, form);
      const passphrases = join(directory, "passphrases");
      writeFileSync(passphrases, `not this one\n${PASSPHRASE}\n`);
      const words = [`--passphrase-file=${passphrases}`, file];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      assert.ok(copiesIn(stud.pid, passphrases) > 0, "the search finds known text");
      assert.equal(copiesIn(stud.pid, PASSPHRASE), 0, "at start");
      write("second");
      await reloaded(stud);
      // The key is decrypted already.
      writeFileSync(passphrases, "");
      write("third");
      await reloaded(stud);
      const served = async () => await subjectAt(context, stud.frontend) === "third";
      await until(served, "the renewed certificate");
      assert.equal(copiesIn(stud.pid, PASSPHRASE), 0, "after two reloads");
    },
  })),
  {
    name: "a typed passphrase is not in the master's memory, and not needed for a reload",
    appliesTo: () => existsSync(SCRIPT),
    async run(context) {
      const { directory, file, write } = makeEncrypted(context);
      const frontend = await freeEndpoint();
      const [log, pidFile] = ["log", "pid"].map((name) => join(directory, name));
      const words = [
        ...context.target.command,
        ...[`--frontend=${frontend.host},${frontend.port}`, `--backend=127.0.0.1,1`, "-n", "1"],
        ...[`--log-file=${log}`, `--pidfile=${pidFile}`, file],
      ];
      const command = words.map((word) => `'${word}'`).join(" ");
      const terminal = spawn(SCRIPT, ["-qec", `exec ${command}`, "/dev/null"], { cwd: root });
      let shown = "";
      terminal.stdout.on("data", (bytes) => shown += bytes);
      context.after(() => terminal.kill("SIGKILL"));
      const prompt = `Passphrase for ${file}: `;
      await until(() => shown.includes(prompt), "the question");
      terminal.stdin.write(`wrong\n`);
      await until(() => shown.includes(`Wrong passphrase. ${prompt}`), "the next question");
      terminal.stdin.write(`${PASSPHRASE}\n`);
      const lines = () => existsSync(log!) ? readFileSync(log!, "utf8").split("\n") : [];
      await until(() => lines().some((line) => line.includes("listening on")), "the service");
      const pid = Number(readFileSync(pidFile!, "utf8"));
      context.after(() => killIfAlive(pid));
      assert.ok(copiesIn(pid, file) > 0, "the search finds known text");
      assert.equal(copiesIn(pid, PASSPHRASE), 0, "at start");
      for (const name of ["second", "third"]) {
        write(name);
        process.kill(pid, "SIGHUP");
        const served = async () => await subjectAt(context, frontend) === name;
        await until(served, "the renewed certificate");
      }
      assert.equal(copiesIn(pid, PASSPHRASE), 0, "after two reloads");
      assert.ok(!shown.includes(PASSPHRASE), "it is not shown");
      process.kill(pid, "SIGTERM");
      await until(() => !isAlive(pid), "stud exits");
    },
  },
];

/** An encrypted key with two certificates for it. */
function makeEncrypted(context: Context, form: "PKCS#8" | "traditional" = "PKCS#8") {
  const directory = mkdtempSync(join(context.certificates.directory, "encrypted-"));
  const { a } = context.certificates;
  const openssl = (...words: string[]) => execFileSync("openssl", words, { stdio: "pipe" });
  const encrypt = form === "PKCS#8" ? ["pkcs8", "-topk8"] : ["ec", "-aes256"];
  const key = openssl(...encrypt, "-in", a, "-passout", `pass:${PASSPHRASE}`);
  const config = join(context.certificates.directory, "openssl.cnf");
  const certificate = (name: string) =>
    openssl("req", "-x509", "-key", a, "-subj", `/CN=${name}`, "-config", config, ...SAN);
  const file = join(directory, "site.pem");
  const write = (name: string) => writeFileSync(file, `${certificate(name)}${key}`);
  write("first");
  return { directory, file, write };
}

/** The common name of the certificate that is served. */
async function subjectAt(context: Context, frontend: Endpoint): Promise<string> {
  const client = await context.tls(frontend);
  const { CN } = client.getPeerCertificate().subject;
  client.destroy();
  return CN as string;
}

/** The base64 of a private key, which is the first section of a file. */
function keyLines(pem: string): string[] {
  const lines = pem.split("\n");
  const from = lines.findIndex((line) => line.includes("PRIVATE KEY"));
  const to = lines.findIndex((line) => line.startsWith("-----END"));
  const found = lines.slice(from + 1, to);
  assert.ok(found.length >= 2, "a key");
  return found;
}
