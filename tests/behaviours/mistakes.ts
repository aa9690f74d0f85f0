/** What cannot work is reported at start in one line that says what to do. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";

export const mistakes: readonly Behaviour[] = [
  {
    name: "no PEM file",
    run: (context) => refuses(context, [], ["PEM"]),
  },
  {
    name: "a PEM file that does not exist",
    run: (context) => refuses(context, ["/nonexistent/site.pem"], ["/nonexistent/site.pem"]),
  },
  {
    name: "a PEM file that is a directory",
    run: (context) => {
      const { directory } = context.certificates;
      return refuses(context, [directory], [directory]);
    },
  },
  {
    name: "a PEM file without a key",
    run: (context) => {
      const path = written(context, "keyless.pem", [part(context, "localhost", "crt")]);
      return refuses(context, [path], [path, "key"]);
    },
  },
  {
    name: "a PEM file without a certificate",
    run: (context) => {
      const path = written(context, "bare-key.pem", [part(context, "localhost", "key")]);
      return refuses(context, [path], [path, "certificate"]);
    },
  },
  {
    name: "a key that does not belong to the certificate",
    run: (context) => {
      const parts = [part(context, "a", "key"), part(context, "localhost", "crt")];
      const path = written(context, "mismatch.pem", parts);
      return refuses(context, [path], [path, "key"]);
    },
  },
  {
    name: "a PEM file with other contents",
    run: (context) => {
      const path = written(context, "poem.pem", ["roses are red\n"]);
      return refuses(context, [path], [path]);
    },
  },
  {
    name: "an option that does not exist",
    run: (context) => refuses(context, ["--bakend=127.0.0.1,80"], ["--bakend", "--backend"]),
  },
  {
    name: "an address in another format",
    run: (context) =>
      refuses(context, ["--backend=localhost:80", context.certificates.localhost], [
        "--backend",
        "localhost:80",
      ]),
  },
  {
    name: "a private key as a configuration file",
    run: (context) => {
      const path = written(context, "key-as-config.pem", [part(context, "localhost", "key")]);
      return refuses(context, [`--config=${path}`], [path, "PEM"]);
    },
  },
  {
    name: "other kinds of files as a configuration, of which nothing is shown",
    async run(context) {
      const key = part(context, "localhost", "key");
      const secret = key.split("\n")[1]!.slice(0, 12);
      const der = Buffer.from(key.replaceAll(/-----.*-----|\s/g, ""), "base64");
      const kinds: Readonly<Record<string, string | Buffer>> = {
        "bom.pem": `\uFEFF${key}`,
        "bag.pem": `Bag Attributes\n    localKeyID: 01\n${key}`,
        "commented.pem": `# our key\n\n${key}`,
        "headless.pem": key.slice(key.indexOf("\n") + 1),
        "windows.pem": key.replaceAll("\n", "\r\n"),
        "quoted.pem": key.replaceAll(/^/gm, "> "),
        "utf16.pem": Buffer.from(`\uFEFF${key}`, "utf16le"),
        "key.der": der,
        "empty.conf": "",
        "comments.conf": "# workers = 2\n\n",
      };
      for (const [name, contents] of Object.entries(kinds)) {
        const path = join(context.certificates.directory, name);
        writeFileSync(path, contents);
        const words = [`--config=${path}`, context.certificates.localhost];
        const { code, stderr } = await runStud(context.target, words);
        assert.match(stderr, /^stud: --config: [^\n]+\n$/, name);
        assert.ok(stderr.includes(path), stderr);
        assert.ok(!stderr.includes(secret), name);
        assert.equal(code, 1);
      }
    },
  },
  {
    name: "a configuration file as a PEM file",
    run: (context) => {
      const path = written(context, "rl.conf", ["backend = 127.0.0.1,8000\n"]);
      return refuses(context, [path], [path, `--config=${path}`]);
    },
  },
  {
    name: "a URL as the backend",
    run: (context) =>
      refuses(context, ["-b", "http://127.0.0.1:8080", context.certificates.localhost], [
        "write 127.0.0.1,8080 or [127.0.0.1]:8080",
      ]),
  },
  {
    name: "a passphrase or a secret in the place of its file",
    async run(context) {
      const adopted = context.target.ticketKeys ? ["--ticket-secret-file"] : [];
      for (const option of ["--passphrase-file", ...adopted]) {
        for (const value of ["hunter2", "hunter2/hunter2/hunter2=="]) {
          const words = [`${option}=${value}`, context.certificates.localhost];
          const { code, stderr } = await runStud(context.target, words);
          assert.match(stderr, /^stud: --[a-z-]+: it does not exist[^\n]+ not its contents\n$/);
          assert.doesNotMatch(stderr, /hunter2/);
          assert.equal(code, 1);
        }
      }
    },
  },
  {
    name: "a certificate as the pid file, which stays as it is",
    async run(context) {
      const { host, port } = await freeEndpoint();
      const text = part(context, "localhost", "crt");
      const path = written(context, "not-a-pid.pem", [text]);
      const words = [`--frontend=${host},${port}`, context.certificates.localhost];
      await refuses(context, ["-p", path, ...words], ["--pidfile", path, "not a pid"]);
      assert.equal(readFileSync(path, "utf8"), text);
    },
  },
  {
    name: "CAs and CRLs that cannot be used, whether or not clients are verified",
    async run(context) {
      const { ca, localhost } = context.certificates;
      const { host, port } = await freeEndpoint();
      const file = (inside: string) =>
        written(context, "doors.conf", [
          `frontend = { host = "${host}" port = "${port}" ${inside} }`,
        ]);
      const none = ["--client-verify=none", localhost];
      const missing = "/nonexistent/ca.pem";
      await refuses(context, [`--client-verify-ca=${missing}`, ...none], [missing]);
      await refuses(context, [`--client-verify-crl=${ca}`, ...none], [ca, "no CRL"]);
      await refuses(context, [`--client-verify-ca=${ca}`, localhost], ["everybody can connect"]);
      const own = file(`client-verify = none client-verify-ca = "${missing}"`);
      await refuses(context, [`--config=${own}`, localhost], [missing]);
      const open = file(`client-verify-ca = "${ca}"`);
      await refuses(context, [`--config=${open}`, localhost], [open, "everybody can connect"]);
    },
  },
  {
    name: "a circle of symbolic links as a directory",
    run: (context) => {
      const path = join(context.certificates.directory, "circle");
      symlinkSync(path, path);
      const words = [`--pem-dir=${path}`, context.certificates.localhost];
      return refuses(context, words, ["--pem-dir", path, "symbolic links"]);
    },
  },
  {
    name: "a port out of range",
    run: (context) =>
      refuses(context, ["--frontend=127.0.0.1,65536", context.certificates.localhost], [
        "--frontend",
        "65536",
      ]),
  },
  {
    name: "a backend whose name cannot be resolved",
    async run(context) {
      const { host, port } = await freeEndpoint();
      const words = [`--frontend=${host},${port}`, "--backend=no-such-host.invalid,80"];
      await refuses(context, [...words, context.certificates.localhost], ["no-such-host.invalid"]);
    },
  },
  {
    name: "an address that this machine does not have",
    run: (context) =>
      // TEST-NET-1 (RFC 5737) is assigned to no host.
      refuses(context, ["--frontend=192.0.2.1,8443", context.certificates.localhost], [
        "192.0.2.1",
        "8443",
      ]),
  },
  {
    name: "a port where another program listens",
    async run(context) {
      const { host, port } = await freeEndpoint();
      const server = createServer().listen(port, host);
      await once(server, "listening");
      context.after(() => server.close());
      const words = [`--frontend=${host},${port}`, context.certificates.localhost];
      await refuses(context, words, [host, String(port), "in use"]);
    },
  },
  {
    name: "options that cannot be combined",
    run: (context) =>
      refuses(context, ["--write-ip", "--write-proxy", context.certificates.localhost], [
        "--write-ip",
        "--write-proxy",
      ]),
  },
  {
    name: "a number of workers that is not a number",
    run: (context) =>
      refuses(context, ["--workers=many", context.certificates.localhost], ["--workers", "many"]),
  },
  {
    name: "a time limit that is not a time",
    run: (context) =>
      refuses(context, ["--ssl-handshake-timeout=-1", context.certificates.localhost], [
        "--ssl-handshake-timeout",
        "-1",
      ]),
  },
  {
    name: "a backend source that is not an address of this machine",
    appliesTo: ({ backendSource }) => backendSource,
    run: (context) =>
      refuses(context, ["--backend-source=192.0.2.1", context.certificates.localhost], [
        "--backend-source",
        "192.0.2.1",
        "ip address",
      ]),
  },
  {
    name: "a backend source whose family differs from the backend's",
    appliesTo: ({ backendSource }) => backendSource,
    run: (context) =>
      refuses(context, ["--backend-source=::1", context.certificates.localhost], [
        "--backend-source",
        "::1",
        "IPv4",
      ]),
  },
];

async function refuses(
  context: Context,
  words: readonly string[],
  named: readonly string[],
): Promise<void> {
  const { code, stdout, stderr } = await runStud(context.target, words);
  assert.match(stderr, /^stud: [^\n]+\n$/);
  for (const word of named) assert.ok(stderr.includes(word), `does not name ${word}: ${stderr}`);
  assert.equal(stdout, "");
  assert.equal(code, 1);
}

function part(context: Context, name: string, extension: "key" | "crt"): string {
  return readFileSync(join(context.certificates.directory, `${name}.${extension}`), "utf8");
}

function written(context: Context, name: string, parts: readonly string[]): string {
  const path = join(context.certificates.directory, name);
  writeFileSync(path, parts.join(""));
  return path;
}
