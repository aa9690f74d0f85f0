/** Frontends: several addresses of all kinds, each with its own settings. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { refuses } from "../support/capability.ts";
import { exchange, openTcp, recordTypes } from "../support/client.ts";
import { helloOfTls12, records } from "../support/client_hello.ts";
import { run } from "../support/commands.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, endpointText, freeEndpoint } from "../support/endpoints.ts";
import { runStud } from "../support/stud.ts";
import { makeUnwritable } from "../support/unwritable.ts";
import { until, within } from "../support/until.ts";

export const frontends: readonly Behaviour[] = [
  {
    name: "several frontends on the command line all serve",
    async run(context) {
      const second = await freeEndpoint();
      const words = [`--frontend=${second.host},${second.port}`];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      for (const endpoint of [stud.frontend, second]) {
        assert.equal(String(await exchange(endpoint, "hello")), "hello");
      }
    },
  },
  {
    name: "each frontend block has its own certificates, and the global ones on request",
    async run(context) {
      const { a, b, localhost } = context.certificates;
      const { endpoints: [own, both, global] } = await configured(context, (at) => `
        frontend = { host = "${at[0]!.host}" port = "${at[0]!.port}" pem-file = "${a}" }
        frontend = {
          host = "${at[1]!.host}"
          port = "${at[1]!.port}"
          pem-file = "${a}"
          match-global-certs = on
        }
        frontend = "[${at[2]!.host}]:${at[2]!.port}"
        pem-file = "${b}"
        pem-file = "${localhost}"
      `);
      assert.equal(await subject(context, own!, "b.example"), "a");
      assert.equal(await subject(context, both!, "b.example"), "b");
      assert.equal(await subject(context, both!, "other.example"), "a");
      assert.equal(await subject(context, global!, "b.example"), "b");
      assert.equal(await subject(context, global!, "other.example"), "localhost");
    },
  },
  {
    name: "each frontend block has its own TLS versions",
    appliesTo: ({ chooseProtocols }) => chooseProtocols,
    async run(context) {
      const { endpoints: [old, both] } = await configured(context, (at) => `
        frontend = {
          host = "${at[0]!.host}"
          port = "${at[0]!.port}"
          tls-protos = TLSv1.2
        }
        frontend = "[${at[1]!.host}]:${at[1]!.port}"
        pem-file = "${context.certificates.localhost}"
      `);
      assert.equal((await context.tls(old!)).getProtocol(), "TLSv1.2");
      assert.equal((await context.tls(both!)).getProtocol(), "TLSv1.3");
    },
  },
  {
    name: "--sni-nomatch-abort rejects an unknown name with the alert unrecognized_name",
    async run(context) {
      const { a, b } = context.certificates;
      if (!context.target.sniAbort) {
        return await refuses(context, "sniAbort", ["--sni-nomatch-abort"]);
      }
      const words = ["--sni-nomatch-abort", a, b];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      assert.equal(await subject(context, stud.frontend, "a.example"), "a");
      assert.equal(await subject(context, stud.frontend, ""), "b");
      const wire = await context.wire(stud.frontend);
      await assert.rejects(context.tls(wire.entry, { servername: "other.example" }));
      assert.deepEqual(recordTypes(wire.received), [21]);
      assert.deepEqual([...Buffer.concat(wire.received).subarray(5)], [2, 112]);
      await until(() => stud.failures().length === 1, "the failure in the log");
      assert.deepEqual(stud.failures(), ["client handshake-failed"]);
    },
  },
  {
    name: "--sni-nomatch-abort serves no ClientHello that hides its name, in records of any size",
    appliesTo: ({ sniAbort }) => sniAbort,
    async run(context) {
      const { a, b } = context.certificates;
      const words = ["--sni-nomatch-abort", a, b];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      for (const size of [1, 2, 50, 16_384]) {
        for (const [name, padding] of HIDDEN_NAMES) {
          const hello = records(helloOfTls12(name, padding), size);
          assert.equal(await firstType(stud.frontend, hello), ALERT, `${name} ${padding} ${size}`);
        }
        const hello = records(helloOfTls12("a.example", 2500), size);
        assert.equal(await firstType(stud.frontend, hello), HANDSHAKE, `${size} bytes each`);
      }
    },
  },
  {
    name: "openssl s_client reports the alert for an unknown name",
    needs: ["openssl"],
    appliesTo: ({ sniAbort }) => sniAbort,
    async run(context) {
      const words = ["--sni-nomatch-abort", context.certificates.a];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      const where = ["-connect", endpointText(stud.frontend), "-servername", "other.example"];
      const { stderr } = await run("openssl", ["s_client", ...where]);
      assert.match(stderr, /unrecognized name/);
    },
  },
  {
    name: "an IPv6 address accepts IPv6 only, so that IPv4 can use the same port",
    // On Deno an IPv6 wildcard also accepts IPv4.
    appliesTo: ({ adoptSockets }) => adoptSockets,
    // Other tests share its addresses and could bind the port first.
    alone: true,
    async run(context) {
      const backend = (await context.echo()).port;
      const { port } = await freeEndpoint("::");
      const server = createServer((socket) => socket.end("plain")).listen(port, "0.0.0.0");
      context.after(() => server.close());
      await once(server, "listening");
      const stud = await context.stud([], { backend, frontend: { host: "::", port } });
      assert.equal(String(await exchange({ host: "::1", port }, "hello")), "hello");
      const plain = await openTcp({ host: "127.0.0.1", port });
      context.after(() => plain.destroy());
      let said = "";
      plain.on("data", (bytes) => said += bytes);
      await until(() => said === "plain", "the other server's answer");
      assert.deepEqual(stud.failures(), []);
    },
  },
  {
    name: "all addresses of a host name are served",
    // Other tests share its addresses and could bind the port first.
    alone: true,
    async run(context) {
      const backend = (await context.echo()).port;
      const { port } = await freeEndpoint("127.0.0.1");
      const frontend = { host: "localhost", port };
      const stud = await context.stud([], { backend, frontend });
      const ready = stud.logs.find((line) => line.event === "ready")!;
      const addresses = String(ready.frontends).split(" ");
      assert.ok(addresses.includes(`127.0.0.1:${port}`), String(ready.frontends));
      for (const address of addresses) {
        const host = address.startsWith("[") ? "::1" : "127.0.0.1";
        assert.equal(String(await exchange({ host, port }, "hello")), "hello");
      }
    },
  },
  ...[
    { kind: "a path", path: (directory: string) => join(directory, "tls.sock") },
    { kind: "an abstract name", path: (directory: string) => `@${directory}` },
  ].map(({ kind, path }): Behaviour => ({
    name: `a Unix socket by ${kind} is a frontend`,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "unix-"));
      const where = path(directory);
      const words = [`--frontend=${where}`];
      if (!context.target.adoptSockets) return await refuses(context, "adoptSockets", words);
      const backend = await context.echo();
      const stud = await context.launch([
        ...words,
        `--backend=127.0.0.1,${backend.port}`,
        ...["--log-format=json", "-n", "2", context.certificates.localhost],
      ], { backend: backend.port, exact: true });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      stud.workers();
      const socket = connect(where.startsWith("@") ? `\0${where.slice(1)}` : where);
      const client = await context.tls({ host: "", port: 0 }, { socket });
      client.write("hello");
      await until(() => String(client.read() ?? "") === "hello", "the echo");
      if (kind === "a path") assert.equal(statSync(where).mode & 0o777, 0o666);
      client.destroy();
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
      assert.equal(existsSync(where), false);
    },
  })),
  {
    name: "a Unix socket left by a dead program is replaced, one in use is not",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "unix-"));
      const where = join(directory, "tls.sock");
      const words = [`--frontend=${where}`, "--log-format=json", context.certificates.localhost];
      const start = () => context.launch(words, { backend: 1, exact: true });
      const first = await start();
      await first.waitForLog((line) => line.event === "ready", "the first is ready");
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /in use/);
      await first.destroy();
      assert.ok(existsSync(where));
      const second = await start();
      await second.waitForLog((line) => line.event === "ready", "the second is ready");
    },
  },
  {
    name: "a Unix socket left by a dead program that cannot be removed is an error",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "unix-"));
      const where = join(directory, "tls.sock");
      const words = [`--frontend=${where}`, "--log-format=json", context.certificates.localhost];
      const stud = await context.launch(words, { backend: 1, exact: true });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      await stud.destroy();
      context.after(makeUnwritable(directory));
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      const [line, ...more] = stderr.trimEnd().split("\n");
      assert.ok(line!.startsWith(`stud: --frontend: cannot listen on unix:${where}: `), stderr);
      assert.match(line!, /cannot be removed \(.+\); remove it or choose another path$/);
      assert.deepEqual(more, []);
    },
  },
  {
    name: "sockets passed by the service manager are served, by name",
    fromSource: true,
    async run(context) {
      const words = ["--frontend=systemd:https"];
      if (!context.target.adoptSockets) return await refuses(context, "adoptSockets", words);
      const { host, port } = await freeEndpoint();
      const backend = await context.echo();
      // Perl is in every Debian; it keeps descriptor and pid across its exec.
      const opener = `
        use Socket; use POSIX (); $^F = 9;
        socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
        bind($s, sockaddr_in(${port}, inet_aton("${host}"))) or die; listen($s, 10);
        POSIX::dup2(fileno($s), 3);
        $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_FDNAMES} = "https";
        exec { $ARGV[0] } @ARGV;`;
      const target = {
        ...context.target,
        command: ["perl", "-e", opener, ...context.target.command],
      };
      const activated = context.like(target);
      const stud = await activated.launch([
        ...words,
        `--backend=127.0.0.1,${backend.port}`,
        ...["--log-format=json", "-n", "2", context.certificates.localhost],
      ], { backend: backend.port, exact: true, frontend: { host, port } });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      assert.equal(String(await exchange({ host, port }, "hello")), "hello");
    },
  },
  {
    name: "a name for which the service manager passed no socket is an error",
    appliesTo: ({ adoptSockets }) => adoptSockets,
    async run(context) {
      const words = ["--frontend=systemd:https", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.match(stderr, /^stud: .*"https".*\n$/);
    },
  },
  {
    name: "--dbg-listen writes the IPv4 addresses to a file",
    async run(context) {
      const file = join(mkdtempSync(join(context.certificates.directory, "listen-")), "report");
      const words = [`--dbg-listen=${file}`];
      const stud = await context.stud(words, { backend: (await context.echo()).port });
      await until(() => existsSync(file), "the file");
      assert.equal(readFileSync(file, "utf8"), `${stud.frontend.host}:${stud.frontend.port}\n`);
    },
  },
];

/**
 * Starts a stud with a configuration in hitch's grammar, which `write` makes for free addresses.
 */
async function configured(
  context: Context,
  write: (at: readonly Endpoint[]) => string,
): Promise<{ endpoints: readonly Endpoint[] }> {
  const endpoints = await Promise.all([freeEndpoint(), freeEndpoint(), freeEndpoint()]);
  const backend = await context.echo();
  const file = join(mkdtempSync(join(context.certificates.directory, "config-")), "stud.conf");
  writeFileSync(
    file,
    `${
      write(endpoints)
    }\nbackend = "[127.0.0.1]:${backend.port}"\nworkers = 1\nlog-format = "json"\n`,
  );
  const stud = await context.launch([`--config=${file}`], { backend: backend.port, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return { endpoints };
}

async function subject(context: Context, endpoint: Endpoint, servername: string): Promise<string> {
  const client = await context.tls(endpoint, { servername });
  return String(client.getPeerCertificate().subject.CN);
}

/** Returns the type of the first record that answers these bytes. */
async function firstType(frontend: Endpoint, bytes: Buffer): Promise<number | undefined> {
  const socket = await openTcp(frontend);
  try {
    socket.write(bytes);
    const [answer] = await within(once(socket, "data"), "an answer") as [Buffer];
    return answer[0];
  } finally {
    socket.destroy();
  }
}

const HIDDEN_NAMES: readonly (readonly [name: string, padding: number])[] = [
  ["", 0],
  ["x.example", 0],
  ["x.example", 5000],
  ["x.example", 60_000],
];
const ALERT = 21;
const HANDSHAKE = 22;
