import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { UsageError } from "../../src/errors.ts";
import { type Command, parseCommandLine } from "../../src/options/command_line.ts";
import type { Config } from "../../src/options/config.ts";
import type { Capabilities, Runtime } from "../../src/runtime/types.ts";

const everything: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  protocols: ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"],
  chooseProtocols: true,
  ciphers: true,
  preferServerCiphers: true,
  tlsFacts: true,
  remembersNames: false,
};

type Build = Pick<Runtime, "name" | "capabilities">;
const bun: Build = { name: "bun", capabilities: everything };
const deno: Build = {
  name: "deno",
  capabilities: {
    backendSource: false,
    adoptSockets: false,
    protocols: ["TLSv1.2", "TLSv1.3"],
    chooseProtocols: false,
    ciphers: false,
    preferServerCiphers: false,
    tlsFacts: false,
    remembersNames: true,
  },
};

function start(argv: string[], build: Build = bun): Extract<Command, { config: Config }> {
  const command = parseCommandLine([...argv, "site.pem"], build);
  assert.ok("config" in command);
  return command;
}

function config(...argv: string[]): Config {
  return start(argv).config;
}

function refused(argv: string[], message: string | RegExp, build: Build = bun): void {
  assert.throws(() => parseCommandLine(argv, build), (error) => {
    assert.ok(error instanceof UsageError);
    assert.doesNotMatch(error.message, /\n/);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

test("without options the defaults hold", () => {
  const command = start([]);
  assert.deepEqual(command, {
    kind: "run",
    config: {
      frontends: [{ host: "*", port: 8443 }],
      backend: { host: "127.0.0.1", port: 8000 },
      backendSources: [],
      pemFiles: ["site.pem"],
      workers: Math.min(availableParallelism(), 1024),
      pinWorkers: false,
      backlog: 1024,
      keepalive: 3600,
      protocols: ["TLSv1.2", "TLSv1.3"],
      ciphers: "",
      preferServerCiphers: false,
      prefix: "none",
      handshakeTimeout: 30,
      backendConnectTimeout: 30,
      halfCloseTimeout: 60,
      logLevel: 1,
      logFormat: "text",
    },
    warnings: [],
  });
  assert.deepEqual(JSON.parse(JSON.stringify(command.config)), command.config);
});

test("every option arrives in the configuration", () => {
  const all = config(
    ...["-f", "*,1", "-f", "[::1]:443", "-b", "localhost,80", "-n", "3", "--pin-workers"],
    ...["-B", "65535", "-k1", "-c", "HIGH:!aNULL", "-O", "--tls-protos", "tlsv1.3,TLSv1.1"],
    ...["--write-proxy-v2", "--ssl-handshake-timeout", "0.5", "--backend-connect", "86400"],
    ...["--half-close-timeout=7", "-L2", "--log-format=json", "other.pem"],
    "--backend-source=192.0.2.1, 192.0.2.2",
  );
  assert.deepEqual(all, {
    frontends: [{ host: "::1", port: 443 }],
    backend: { host: "localhost", port: 80 },
    backendSources: ["192.0.2.1", "192.0.2.2"],
    pemFiles: ["other.pem", "site.pem"],
    workers: 3,
    pinWorkers: true,
    backlog: 65535,
    keepalive: 1,
    protocols: ["TLSv1.1", "TLSv1.3"],
    ciphers: "HIGH:!aNULL",
    preferServerCiphers: true,
    prefix: "proxy-v2",
    handshakeTimeout: 0.5,
    backendConnectTimeout: 86400,
    halfCloseTimeout: 7,
    logLevel: 2,
    logFormat: "json",
  });
});

test("a wrong value is refused with option, value, reason and remedy", () => {
  refused(
    ["-n", "x"],
    '--workers: "x" is not a positive number; give 1 to 1024, or auto',
  );
  const wrong = {
    "workers": ["", "0", "-1", "1.5", "1025", "AUTO", "1e2", " 4"],
    "backlog": ["0", "-1", "65536", "x"],
    "keepalive": ["0", "32768", "1.5"],
    "ssl-handshake-timeout": ["0", "0.0", "-1", "86401", "1s", "Infinity", "NaN", ""],
    "log-level": ["3", "-1", "", "info"],
    "log-format": ["xml", "JSON"],
    "quiet": ["", "maybe"],
    "ciphers": ["HIGH\nLOW", 'a"b'],
    "backend-source": ["localhost", "1.2.3", "192.0.2.1:80"],
    "backend": ["*,80", "127.0.0.1:80", "x,65536"],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      refused([`--${name}=${value}`, "a.pem"], new RegExp(`^--${name}: .+(;|\\.) .+`));
    }
  }
});

test("flags can be switched off again", () => {
  assert.equal(config("-O", "--prefer-server-ciphers=OFF").preferServerCiphers, false);
  assert.equal(config("--write-ip", "--write-ip=no", "--write-proxy").prefix, "proxy-v1");
  assert.equal(config("--write-ip=yes").prefix, "write-ip");
});

test("the last of --quiet and --log-level counts", () => {
  assert.equal(config("-q").logLevel, 0);
  assert.equal(config("-q", "-L2").logLevel, 2);
  assert.equal(config("-L2", "-q").logLevel, 0);
  assert.equal(config("-L2", "--quiet=off").logLevel, 2);
  assert.equal(config("-q", "--quiet=off").logLevel, 1);
});

test("contradictions are refused in stud's words", () => {
  const pairs = [
    ["tls", "ssl"],
    ["tls", "tls-protos=TLSv1.2"],
    ["ssl", "tls-protos=TLSv1.2"],
    ["write-ip", "write-proxy"],
    ["write-ip", "write-proxy-v2"],
    ["write-proxy", "write-proxy-v2"],
    ["test", "demo"],
  ] as const;
  for (const [a, b] of pairs) {
    const name = b.split("=")[0];
    const message = `Options --${a} and --${name} are mutually exclusive. Leave one of them out.`;
    refused([`--${a}`, `--${b}`, "a.pem"], message);
    refused([`--${b}`, `--${a}`, "a.pem"], message);
  }
});

test("the TLS versions are those that were asked for", () => {
  assert.deepEqual(config("--tls").protocols, ["TLSv1.2", "TLSv1.3"]);
  assert.deepEqual(config("--ssl").protocols, everything.protocols);
  assert.deepEqual(config("--ssl", "--tls=off").protocols, everything.protocols);
  assert.deepEqual(config("--tls-protos", "TLSv1.2|tlsV1.0").protocols, ["TLSv1.0", "TLSv1.2"]);
  refused(["--tls=off", "a.pem"], /^--tls=off leaves no TLS version; choose/);
  for (const list of ["", "TLSv1", "TLS", "all -TLSv1.0", "TLSv1.2,TLSv1.4", "!TLSv1.0"]) {
    refused(
      [`--tls-protos=${list}`, "a.pem"],
      /is not a list of TLS versions; name any of TLSv1\.0/,
    );
  }
  refused(
    ["--tls-protos=SSLv3 TLSv1.2", "a.pem"],
    "--tls-protos: SSLv3 no longer exists in any of these TLS libraries; remove it",
  );
});

test("--ssl says which versions that means", () => {
  assert.deepEqual(start(["--ssl"], deno).warnings, [
    "--ssl offers TLSv1.2, TLSv1.3; SSLv3 no longer exists in any of these TLS libraries",
  ]);
  assert.deepEqual(start(["--ssl"], deno).config.protocols, ["TLSv1.2", "TLSv1.3"]);
});

test("what a build lacks is refused with the builds that have it", () => {
  refused(
    ["--ciphers=HIGH", "a.pem"],
    "--ciphers cannot be honoured by the Deno build (rustls has a fixed list); " +
      "use the Bun or Node build",
    deno,
  );
  refused(
    ["--backend-source=::1", "a.pem"],
    /^--backend-source cannot .+ use the Bun or Node build$/,
    deno,
  );
  refused(["-O", "a.pem"], /^--prefer-server-ciphers cannot .+; use the Bun or Node build$/, deno);
  refused(["--tls-protos=TLSv1.3", "a.pem"], /^--tls-protos cannot .+; use the Bun or/, deno);
  const modern: Build = {
    name: "bun",
    capabilities: { ...everything, protocols: ["TLSv1.2", "TLSv1.3"] },
  };
  refused(
    ["--tls-protos=TLSv1.0", "a.pem"],
    "--tls-protos: TLSv1.0 cannot be honoured by the Bun build " +
      "(its TLS library cannot do it); use the Node build",
    modern,
  );
});

test("a value that every build gives needs no capability", () => {
  const argv = ["--ciphers=", "-O", "--prefer-server-ciphers=off", "--tls-protos=TLSv1.3 TLSv1.2"];
  assert.deepEqual(start(argv, deno).config.protocols, ["TLSv1.2", "TLSv1.3"]);
});

test("a PROXY header that can say less is announced", () => {
  assert.match(start(["--write-proxy-v2"], deno).warnings.join(), /addresses and ALPN only$/);
  assert.deepEqual(start(["--write-proxy-v2"]).warnings, []);
});

test("a certificate is needed, except for the demonstration", () => {
  refused([], /^No x509 certificate PEM file specified! Name at least one/);
  refused(["-t"], /^No x509 certificate PEM file specified!/);
  assert.equal(parseCommandLine(["--demo"], bun).kind, "demo");
  assert.equal(start(["-t"]).kind, "test");
});

test("stud's options of a later version are refused one by one", () => {
  refused(["--chroot=/x", "a"], "--chroot is not built yet in this version; leave it out");
  const later = ["--config=x", "--client", "-ex", "-C1", "-Ux,1", "-Px,1", "-Mx", "-ux", "-gx"];
  for (const word of [...later, "-s", "--syslog-facility=x", "--daemon", "--proxy-proxy=off"]) {
    refused([word, "a.pem"], /^--[a-z-]+ is not built yet in this version; leave it out$/);
  }
});

test("--help and --version win over wrong values, not over unknown options", () => {
  assert.equal(parseCommandLine(["-n", "x", "--chroot=/", "-h"], bun).kind, "help");
  assert.equal(parseCommandLine(["--tls", "--ssl", "-V", "-h"], bun).kind, "version");
  refused(["--help", "--nonsense"], /is not an option/);
});

test("--default-config shows the values given before it", () => {
  const command = parseCommandLine(["-n3", "--default-config", "-n", "x"], bun);
  assert.ok(command.kind === "default-config");
  assert.match(command.text, /^workers = "3"$/m);
  refused(["-n", "x", "--default-config"], /^--workers: /);
});
