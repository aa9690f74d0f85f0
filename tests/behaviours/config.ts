/** Command lines and configuration files in both dialects. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { exchange, readAll } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { type Endpoint, freeEndpoint } from "../support/endpoints.ts";
import { decodeProxyV2 } from "../support/proxy_v2.ts";
import { runStud, type Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

/** Part of Debian's hitch package. */
const HITCH_EXAMPLE = "/usr/share/doc/hitch/examples/hitch.conf.example";
const isRoot = process.getuid!() === 0;

export const config: readonly Behaviour[] = [
  {
    name: "a file in stud's grammar is served",
    async run(context) {
      const { frontend, backend } = await places(context);
      const stud = await configured(
        context,
        [
          "# a configuration of stud",
          `frontend = ${frontend.host},${frontend.port}`,
          `backend = [127.0.0.1]:${backend}`,
          `pem-file = "${context.certificates.localhost}"`,
          "workers = 1",
          "write-proxy = on",
          "ssl = off",
          "tls = on",
          "quiet = off",
          "log-format = json",
        ],
        frontend,
      );
      assert.match(String(await exchange(stud.frontend, "hello")), /^PROXY TCP4 .*\r\nhello$/);
    },
  },
  {
    name: "a file in hitch's grammar is served as stud",
    async run(context) {
      const { frontend, backend } = await places(context);
      const stud = await configured(context, hitchFile(context, frontend, backend), frontend);
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
  {
    name: "--config=- reads standard input",
    async run(context) {
      const { frontend, backend } = await places(context);
      const stdin = hitchFile(context, frontend, backend).join("\n");
      const stud = await context.launch(["--config=-"], { backend, frontend, exact: true, stdin });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  },
  {
    name: "in hitch's dialect write-proxy is version 2, and options override files",
    async run(context) {
      const { frontend, backend: _ } = await places(context);
      const backend = await context.backend();
      const file = written(context, [
        ...hitchFile(context, frontend, backend.port),
        "write-proxy = on",
        'log-filename = "/nonexistent/never-opened"',
      ]);
      const user = isRoot ? ["--user=nobody"] : [];
      const log = `${file}.log`;
      const words = ["--compat=hitch", ...user, `--log-filename=${log}`, `--config=${file}`];
      await context.launch(words, { backend: backend.port, frontend, exact: true });
      const isReady = () => existsSync(log) && readFileSync(log, "utf8").includes('"ready"');
      await until(isReady, "stud is ready");
      const client = await context.tls(frontend);
      client.end("hello");
      const socket = await backend.accept();
      const bytes = await readAll(socket);
      const header = decodeProxyV2(bytes);
      assert.equal(String(bytes.subarray(header.length)), "hello");
      socket.end();
    },
  },
  {
    name: "started as hitch, it uses hitch's dialect",
    // A script is started by its runtime, whose name counts.
    appliesTo: ({ command }) => command.length === 1,
    async run(context) {
      const link = join(mkdtempSync(join(context.certificates.directory, "link-")), "hitch");
      symlinkSync(context.target.command[0]!, link);
      const target = { ...context.target, command: [link] };
      const { code, stdout, stderr } = await runStud(target, []);
      assert.equal(code, 1);
      assert.match(stdout, /^Usage: hitch /);
      assert.equal(stderr, "\n");
      const wrong = await runStud(target, ["--write-ip=yes", "x.pem"]);
      assert.match(wrong.stderr, /Invalid argument 'yes' for option 'write-ip'/);
    },
  },
  {
    name: "an error in a file is reported with file, line and column, and what was expected",
    async run(context) {
      const file = written(context, ['backend = "[127.0.0.1]:80"', "worksers = 4"]);
      const { code, stderr } = await runStud(context.target, [`--config=${file}`]);
      assert.equal(code, 1);
      const line = stderr.split("\n").find((each) => each.includes("worksers"))!;
      assert.ok(line.includes(`${file}:2:1`), stderr);
      assert.match(line, /workers/);
    },
  },
  {
    name: "an error in hitch's dialect starts with hitch's text",
    async run(context) {
      const file = written(context, ["workers = 1", "no-such-key = 4"]);
      const { code, stderr } = await runStud(context.target, [
        "--compat=hitch",
        `--config=${file}`,
      ]);
      assert.equal(code, 1);
      assert.match(stderr, /Parsing error in line 2: syntax error: [^\n]*no-such-key is not a key/);
      assert.ok(stderr.includes(file), stderr);
    },
  },
  {
    name: "--test reports all problems at once: options, files, names, users and paths to write",
    async run(context) {
      const { ca } = context.certificates;
      const file = written(context, ['log-filename = "/nonexistent/log"', "worksers = 4"]);
      const words = [
        ...["--test", "--no-such-option", "--keepalive=never", `--config=${file}`],
        ...context.target.runtime === "deno" ? [] : ["--ciphers=NO-SUCH-CIPHER"],
        "--backend=no-such-host.invalid,80",
        "--frontend=192.0.2.1,443",
        "--user=no-such-user",
        "--pidfile=/nonexistent/pid",
        "--dbg-listen=/nonexistent/report",
        ...context.target.adoptSockets ? ["--frontend=/nonexistent/socket"] : [],
        ...["--client-verify=none", "--client-verify-ca=/nonexistent/ca.pem"],
        `--client-verify-crl=${ca}`,
        "/nonexistent/site.pem",
      ];
      const { code, stdout, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.equal(stdout, "");
      const named = [
        ...["--no-such-option", "--keepalive", `${file}:2:1: worksers`],
        ...context.target.runtime === "deno" ? [] : ["--ciphers: "],
        ...["no-such-host", "192.0.2.1", "no-such-user", "/nonexistent/site.pem"],
        ...[`${file}:1:16: log-filename: cannot write`, "/nonexistent/pid", "/nonexistent/report"],
        ...context.target.adoptSockets ? ["/nonexistent/socket"] : [],
        ...["/nonexistent/ca.pem", `--client-verify-crl: ${ca}: no CRL`],
      ];
      for (const name of named) assert.ok(stderr.includes(name), `${name} is missing:\n${stderr}`);
      assert.equal(stderr.trimEnd().split("\n").length, named.length);
    },
  },
  {
    name: "--test passes while another stud holds the port",
    async run(context) {
      const stud = await context.stud([], { backend: (await context.echo()).port });
      const { host, port } = stud.frontend;
      const words = ["--test", `--frontend=${host},${port}`, context.certificates.localhost];
      const { code, stdout, stderr } = await runStud(context.target, words);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "stud configuration looks ok.\n");
    },
  },
  {
    name: "--test tries TLS settings although certificates, frontends or CAs cannot be used",
    appliesTo: ({ ciphers }) => ciphers,
    async run(context) {
      const modes = [
        ["/nonexistent/site.pem"],
        ["--frontend=nowhere", context.certificates.localhost],
        ["--client", "--client-verify-ca=/nonexistent/ca.pem"],
      ];
      for (const mode of modes) {
        const words = ["--test", "--ciphers=NO-SUCH-CIPHER", ...mode];
        const { code, stderr } = await runStud(context.target, words);
        assert.equal(code, 1);
        assert.match(stderr, /NO-SUCH-CIPHER|no.cipher.match/i, mode.join(" "));
        assert.match(stderr, /nowhere|\/nonexistent\//, mode.join(" "));
      }
    },
  },
  {
    name: "--test creates none of the files that a start would write",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "untouched-"));
      const words = [
        ...["--test", `--log-filename=${directory}/log`, `--pidfile=${directory}/pid`],
        ...[`--dbg-listen=${directory}/report`, context.certificates.localhost],
        ...context.target.adoptSockets ? [`--frontend=${directory}/socket`] : [],
      ];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 0, stderr);
      assert.deepEqual(readdirSync(directory), []);
    },
  },
  {
    name: "a mistake in a file that only a start notices is reported with its place",
    async run(context) {
      const file = written(context, [
        "workers = 1",
        'user = "no-such-user"',
        'backend = "[no-such-host.invalid]:80"',
        'pem-file = "/nonexistent/site.pem"',
        `pem-file = { cert = "${context.certificates.ca}" }`,
      ]);
      const words = [`--config=${file}`, context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 1);
      assert.ok(stderr.includes(`stud: ${file}:2:8: user: Invalid user 'no-such-user'`), stderr);
      assert.ok(stderr.includes(`stud: ${file}:3:11: backend: `), stderr);
      assert.ok(
        stderr.includes(`stud: ${file}:4:12: pem-file: /nonexistent/site.pem: it `),
        stderr,
      );
      assert.ok(stderr.includes(`stud: ${file}:5:21: cert: ${context.certificates.ca}: `), stderr);
      const hitch = await runStud(context.target, ["--compat=hitch", ...words]);
      const expected = `Error in configuration file '${file}', line 2: ${file}:2:8: user: Invalid`;
      assert.ok(hitch.stderr.includes(expected), hitch.stderr);
    },
  },
  {
    name: "in hitch's dialect --test passes as root without a user, and a start does not",
    appliesTo: () => isRoot,
    async run(context) {
      const words = ["--compat=hitch", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, [...words, "--test"]);
      assert.equal(code, 0, stderr);
      assert.match(
        stderr,
        /\nhitch: this user cannot start it: .* Refusing to run workers as root\.\n/,
      );
      assert.match(stderr, /hitch configuration looks ok\.\n$/);
      const started = await runStud(context.target, words);
      assert.equal(started.code, 1);
      assert.equal(started.stderr, "{core} ERROR: Refusing to run workers as root.\n");
    },
  },
  {
    name: "in hitch's dialect --test has hitch's exit code for a log file that cannot be opened",
    async run(context) {
      const words = ["--compat=hitch", "--test", "--log-filename=/nonexistent/log"];
      const { code } = await runStud(context.target, [...words, context.certificates.localhost]);
      assert.equal(code, 2);
    },
  },
  {
    name: "--test in hitch's dialect ends with hitch's text",
    async run(context) {
      const user = isRoot ? ["--user=nobody"] : [];
      const words = ["--compat=hitch", ...user, "--test", context.certificates.localhost];
      const { code, stderr } = await runStud(context.target, words);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /^Trying to initialize SSL contexts with your certificates\n/);
      assert.match(stderr, /hitch configuration looks ok\.\n$/);
    },
  },
  ...["stud", "hitch"].map((dialect): Behaviour => ({
    name: `--default-config of ${dialect} prints a file that ${dialect} can start with`,
    async run(context) {
      const { frontend, backend } = await places(context);
      const { code, stdout } = await runStud(context.target, [
        `--compat=${dialect}`,
        `--backend=[127.0.0.1]:${backend}`,
        `--frontend=[${frontend.host}]:${frontend.port}`,
        "--default-config",
      ]);
      assert.equal(code, 0);
      const file = written(context, [stdout]);
      const words = [`--compat=${dialect}`, `--config=${file}`, "--log-format=json"];
      const user = isRoot ? ["--user=nobody"] : [];
      const all = [...words, ...user, "--workers=1", context.certificates.localhost];
      const stud = await context.launch(all, { backend, frontend, exact: true });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      assert.equal(String(await exchange(frontend, "hello")), "hello");
    },
  })),
  {
    name: "stud starts with hitch's own example configuration",
    appliesTo: () => isRoot && existsSync(HITCH_EXAMPLE),
    async run(context) {
      const backend = await context.backend();
      const frontend = await freeEndpoint();
      // The machine has neither this user nor these ports; all else is unchanged.
      const text = readFileSync(HITCH_EXAMPLE, "utf8")
        .replaceAll('"hitch"', '"nobody"')
        .replace('group = "nobody"', 'group = "nogroup"')
        .replace("[127.0.0.1]:6086", `[127.0.0.1]:${backend.port}`)
        .replace('host = "*"', `host = "${frontend.host}"`)
        .replace('port = "443"', `port = "${frontend.port}"`);
      const file = written(context, [text]);
      const words = ["--compat=hitch", `--config=${file}`, "--daemon=off", "--log-format=json"];
      const all = [...words, "--workers=1", context.certificates.localhost];
      const stud = await context.launch(all, { backend: backend.port, frontend, exact: true });
      await stud.waitForLog((line) => line.event === "ready", "stud is ready");
      const client = await context.tls(frontend);
      client.end("hello");
      const socket = await backend.accept();
      const bytes = await readAll(socket);
      assert.equal(String(bytes.subarray(decodeProxyV2(bytes).length)), "hello");
      socket.end();
    },
  },
  {
    name: "a configuration like the original stud's --default-config can be used",
    async run(context) {
      const { frontend, backend } = await places(context);
      // All keys of stud's own --default-config, with its values except for addresses and paths.
      const stud = await configured(
        context,
        [
          "# a comment",
          "",
          `frontend = "[${frontend.host}]:${frontend.port}"`,
          `backend = "[127.0.0.1]:${backend}"`,
          `pem-file = "${context.certificates.localhost}"`,
          "tls = on",
          "ssl = off",
          'ciphers = ""',
          "prefer-server-ciphers = off",
          'ssl-engine = ""',
          "workers = 1",
          "backlog = 100",
          "keepalive = 3600",
          'chroot = ""',
          'user = ""',
          'group = ""',
          "quiet = off",
          "syslog = off",
          'syslog-facility = "daemon"',
          "daemon = off",
          "write-ip = off",
          "write-proxy = off",
          "proxy-proxy = off",
          "log-format = json",
        ],
        frontend,
      );
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
    },
  },
];

async function places(context: Context): Promise<{ frontend: Endpoint; backend: number }> {
  return { frontend: await freeEndpoint(), backend: (await context.echo()).port };
}

function hitchFile(context: Context, frontend: Endpoint, backend: number): string[] {
  return [
    "frontend = {",
    `  host = "${frontend.host}"`,
    `  port = "${frontend.port}"  # a comment`,
    "}",
    `backend = "[127.0.0.1]:${backend}"`,
    "pem-file = {",
    `  cert = "${context.certificates.localhost}"`,
    "}",
    "workers = 1",
    'log-format = "json"',
  ];
}

function written(context: Context, lines: readonly string[]): string {
  const directory = mkdtempSync(join(context.certificates.directory, "config-"));
  const file = join(directory, `${basename(directory)}.conf`);
  writeFileSync(file, lines.join("\n"));
  return file;
}

async function configured(
  context: Context,
  lines: readonly string[],
  frontend: Endpoint,
): Promise<Stud> {
  const words = [`--config=${written(context, lines)}`];
  const stud = await context.launch(words, { backend: 1, frontend, exact: true });
  await stud.waitForLog((line) => line.event === "ready", "stud is ready");
  stud.workers();
  return stud;
}
