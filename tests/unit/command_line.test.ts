import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { test } from "node:test";
import type { ConnectionSettings } from "../../src/connection/settings.ts";
import type { Config, KeyFor, KeysIn } from "../../src/options/config.ts";
import { valueAt } from "../../src/options/dotted.ts";
import { type OptionName, rows } from "../../src/options/table.ts";
import { workerSettings } from "../../src/options/worker_settings.ts";
import type { Dialect } from "../../src/base/dialect.ts";
import {
  deno,
  everything,
  faultsOf,
  node,
  parse,
  problemsOf,
  type Setting,
  start,
} from "../support/parse.ts";

function config(...argv: string[]): Config {
  return start(argv).config;
}

function hitch(...argv: string[]): Config {
  return start(argv, { dialect: "hitch" }).config;
}

/** Asserts that a command line has exactly this one error. */
function refused(argv: string[], message: string | RegExp, setting?: Setting): void {
  const problems = problemsOf(argv, setting);
  assert.equal(problems.length, 1, problems.join("\n"));
  if (typeof message === "string") assert.equal(problems[0], message);
  else assert.match(problems[0]!, message);
}

const tls = {
  protocols: ["TLSv1.2", "TLSv1.3"],
  ciphers: "",
  ciphersuites: "",
  curves: "",
  preferServerCiphers: true,
};
const noVerify = { mode: "none", ca: "", crl: "" };
const sitePem = { cert: "/etc/stud/site.pem", key: "", ocspResponse: "", ocspVerify: false };

test("without options the defaults hold in both dialects", () => {
  for (const dialect of ["stud", "hitch"] as const) {
    const { config, warnings } = start([], { dialect, directories: [] });
    for (const [name, option] of rows.filter(([, option]) => option.config)) {
      const { default: text, parse, config: { key } = { key: "" } } = option;
      assert.deepEqual(valueAt(config, key), parse!(text!, dialect), name);
    }
    const { frontends, pemFiles, workers, prefix, proxyTlvs, acceptProxy, ...others } = config;
    assert.deepEqual(frontends, [{
      listen: { host: "*", port: 8443 },
      pemFiles: [],
      matchGlobalCerts: true,
      sniNomatchAbort: false,
      tls,
      clientVerify: noVerify,
    }]);
    assert.deepEqual({ pemFiles, workers, prefix, proxyTlvs, acceptProxy }, {
      pemFiles: [sitePem],
      workers: Math.min(availableParallelism(), 1024),
      prefix: "none",
      proxyTlvs: [],
      acceptProxy: { mode: "none", trusted: [] },
    });
    assert.equal(others.dialect, dialect);
    assert.deepEqual([others.ocsp.directory, others.log.syslog], ["", ""]);
    for (const absent of ["backendTls", "pemDirectory"]) assert.ok(!Object.hasOwn(others, absent));
    assert.ok(!Object.hasOwn(others.sessions, "cachePeers"));
    assert.deepEqual(warnings, []);
    assert.deepEqual(JSON.parse(JSON.stringify(config)), config);
  }
});

test("the value of every option that has a key arrives there", () => {
  const samples = [
    "on",
    "off",
    "17",
    "2",
    "json",
    "/x",
    "192.0.2.1,::1",
    "redis://[::1]",
    "/x/*",
    "client",
    "1/9",
  ];
  const companions: Partial<Record<OptionName, readonly string[]>> = {
    "max-connections": ["--workers=1"],
    "ticket-rotation": ["--session-timeout=1"],
    "ticket-store": ["--ticket-secret-file=s"],
  };
  const keys = rows.flatMap(([, { config }]) => config?.key ?? []);
  assert.equal(new Set(keys).size, keys.length, "no two options have one key");
  for (const [name, { config, default: usual, parse, path }] of rows) {
    if (!config) continue;
    const valueOf = (text: string) => {
      try {
        return parse!(text, "stud");
      } catch {
        return undefined;
      }
    };
    const isOther = (value: unknown) =>
      value !== undefined && JSON.stringify(value) !== JSON.stringify(valueOf(usual!));
    const sample = samples.find((text) => isOther(valueOf(text)));
    assert.ok(sample !== undefined, `${name} takes none of the samples`);
    const found = start([`--${name}=${sample}`, ...companions[name] ?? []]).config;
    const expected = path ? resolve("/etc/stud", sample) : valueOf(sample);
    assert.deepEqual(valueAt(found, config.key), expected, `${name} is ${config.key}`);
  }
});

test("settings that belong together are combined", () => {
  const { frontends, ...all } = config(
    ...["-f", "*,1+a.pem", "-f", "[::1]:443", "-n", "3", "-c", "HIGH:!aNULL", "-O"],
    ...["--tls-protos", "tlsv1.3,TLSv1.1", "--ciphersuites=TLS_AES_256_GCM_SHA384"],
    ...["--ecdh-curve=X25519:P-256", "--sni-nomatch-abort", "--ocsp-verify-staple", "-oo"],
    ...["--client-verify=optional", "--client-verify-ca=ca", "--client-verify-crl=/crl"],
    ...["--pem-dir=d", "--pem-dir-glob=*.pem", "other.pem", "-s", "--syslog-facility=local3"],
    ...["--write-proxy-v2", "--proxy-tlvs=unique-id,ssl,cn"],
    ...["--accept-proxy", "--trusted-proxies=10.0.0.0/8,::1"],
    ...["--ticket-secret-file=secret", "-C13", "-U*,14", "-Pa,15", "-Mx,16"],
  );
  const settings = {
    matchGlobalCerts: true,
    sniNomatchAbort: true,
    tls: {
      protocols: ["TLSv1.1", "TLSv1.3"],
      ciphers: "HIGH:!aNULL",
      ciphersuites: "TLS_AES_256_GCM_SHA384",
      curves: "X25519:P-256",
      preferServerCiphers: true,
    },
    clientVerify: { mode: "optional", ca: "/etc/stud/ca", crl: "/crl" },
  };
  const pem = (cert: string) => ({ cert, key: "", ocspResponse: "", ocspVerify: true });
  assert.deepEqual(frontends, [
    {
      ...settings,
      listen: { host: "*", port: 1 },
      pemFiles: [pem("/etc/stud/a.pem")],
      matchGlobalCerts: false,
    },
    { ...settings, listen: { host: "::1", port: 443 }, pemFiles: [] },
  ]);
  const { pemFiles, pemDirectory, workers, prefix, proxyTlvs, acceptProxy } = all;
  assert.deepEqual({ pemFiles, pemDirectory, workers, prefix, proxyTlvs, acceptProxy }, {
    pemFiles: [pem("/etc/stud/other.pem"), pem("/etc/stud/site.pem")],
    pemDirectory: { path: "/etc/stud/d", glob: "*.pem" },
    workers: 3,
    prefix: "proxy-v2",
    proxyTlvs: ["unique-id", "ssl", "cn"],
    acceptProxy: { mode: "use", trusted: ["10.0.0.0/8", "::1"] },
  });
  assert.deepEqual([all.ocsp.directory, all.log.syslog], ["/etc/stud/o", "local3"]);
  assert.deepEqual(all.sessions.cachePeers, {
    listen: { host: "*", port: 14 },
    peers: [{ host: "a", port: 15 }],
    interface: "x",
    ttl: 16,
  });
});

test("workers are sent what they read, and no secrets", () => {
  const { config } = start(["--ticket-secret-file=s", "--ticket-store=redis://:password@[::1]"]);
  const sent = workerSettings(config);
  const read: KeyFor<"worker"> = "idleTimeout";
  // @ts-expect-error: no worker reads it.
  const unread: KeyFor<"worker"> = "drainTimeout";
  // @ts-expect-error: nor do connections declare it, so that as their option it would not compile.
  const undeclared: KeysIn<ConnectionSettings> = unread;
  assert.equal(valueAt(sent, read), 0);
  assert.equal(valueAt(sent, undeclared), undefined);
  assert.deepEqual(sent.sessions, { tickets: true, timeout: 7200, cache: 0 });
  assert.deepEqual(sent.acceptProxy, { mode: "none", trusted: [] });
  assert.doesNotMatch(JSON.stringify(sent), /password|redis|\/etc\/stud\/s/);
  for (const [name, { config: row }] of rows.filter(([, { config }]) => config)) {
    const isSent = valueAt(sent, row!.key) !== undefined;
    assert.equal(isSent, row!.readers.includes("worker"), name);
  }
});

test("an invalid value is refused with option, value, reason and remedy", () => {
  refused(
    ["-n", "x", "a.pem"],
    '--workers: "x" is not a whole number; use 1 to 1024, or auto',
  );
  const wrong = {
    "workers": ["", "0", "-1", "1.5", "1025", "AUTO", "1e2", " 4"],
    "backlog": ["1.5", "x", "99999999999"],
    "keepalive": ["32768", "1.5"],
    "ssl-handshake-timeout": ["0", "0.0", "-1", "86401", "1s", "Infinity", "NaN", ""],
    "log-level": ["3", "-1", "", "info"],
    "log-format": ["xml", "JSON"],
    "quiet": ["", "maybe"],
    "ciphers": ["HIGH\nLOW", 'a"b'],
    "ecdh-curve": ["", "a b"],
    "ciphersuites": ["a b"],
    "backend-source": ["localhost", "1.2.3", "192.0.2.1:80"],
    "backend": ["*,80", "127.0.0.1:80", "x,65536"],
    "frontend": ["systemd:", "unix:x"],
    "alpn-protos": ["a,,b", "x".repeat(256)],
    "trusted-proxies": ["10.0.0.0/33", "host", "::1/129", "1.2.3.4/", "1.2.3.4/-1"],
    "syslog-facility": ["kern", "LOCAL0"],
    "client-verify": ["require", ""],
    "client-verify-ca": [""],
    "proxy-tlvs": ["nonce", "group", "ssl,sig-scheme", "cn"],
    "backend-name": ["192.0.2.1", "a b", "a/b"],
    "backend-refresh": ["-1", "86401"],
    "recv-bufsize": ["-1", "2147483648"],
    "user": ["a\u0000b", "a\nb"],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      refused([`--${name}=${value}`, "a.pem"], new RegExp(`^--${name}: .+(;|\\.) .+`));
    }
  }
});

test("hitch's own text comes first in its dialect", () => {
  const expected: [string, string | RegExp][] = [
    ["--workers=x", /^Invalid parameter 'workers': Not a number\. "x" is not .+; use 1 to 1024/],
    ["--keepalive=-1", /^Invalid parameter 'keepalive': Negative number\. /],
    ["--keepalive=99999", /^Invalid parameter 'keepalive': Number out of range\. /],
    ["--backend=a:80", /^Invalid parameter 'backend': Invalid address string 'a:80' .+\[a\]:80$/],
    ["--frontend=[*]:0", /^Invalid parameter 'frontend': Invalid port number '0'\. /],
    [
      "--write-ip=yes",
      "Invalid argument 'yes' for option 'write-ip': expected one of 'on' or 'off'",
    ],
    ["--tls-protos=x", /^Invalid parameter 'tls-protos': Invalid 'tls-protos' option 'x' /],
    ["--syslog-facility=x", /^Invalid parameter 'syslog-facility': Invalid facility 'x'\. /],
    ["--write-proxy=junk", /^Invalid argument 'junk' for option 'write-proxy-v2': /],
    ["--shared-cache=x", /^Invalid parameter 'shared-cache': /],
  ];
  for (const [word, message] of expected) refused([word, "a.pem"], message, { dialect: "hitch" });
});

test("hitch's flags accept on and off, its log level any number", () => {
  assert.equal(hitch("--prefer-server-ciphers=yes").frontends[0]!.tls.preferServerCiphers, true);
  assert.equal(hitch("--daemon=on", "--daemon=off").daemon, false);
  assert.equal(hitch("-L7").log.level, 2);
  assert.equal(hitch("--write-proxy=on").prefix, "proxy-v2");
  assert.equal(config("--write-proxy=yes").prefix, "proxy-v1");
});

test("--compat overrides the program's name", () => {
  assert.equal(hitch("--compat=stud", "--write-proxy").prefix, "proxy-v1");
  assert.equal(config("--write-proxy", "--compat", "hitch").prefix, "proxy-v2");
  refused(["--compat=nginx", "a.pem"], '--compat: "nginx" is not a dialect; use stud or hitch');
});

test("hitch without arguments shows its usage", () => {
  const command = parse([], { dialect: "hitch" });
  assert.ok(command.kind === "usage");
  assert.match(command.text, /^Usage: hitch /);
  assert.equal(parse(["--compat=hitch", "a.pem"]).kind, "run");
});

test("flags can be turned off again", () => {
  assert.equal(
    config("-O", "--prefer-server-ciphers=OFF").frontends[0]!.tls.preferServerCiphers,
    false,
  );
  assert.equal(config("--write-ip", "--write-ip=no", "--write-proxy").prefix, "proxy-v1");
  assert.equal(config("--write-ip=yes").prefix, "write-ip");
});

test("the last of --quiet and --log-level applies", () => {
  const level = (...argv: string[]) => config(...argv).log.level;
  assert.equal(level("-q"), 0);
  assert.equal(level("-q", "-L2"), 2);
  assert.equal(level("-L2", "-q"), 0);
  assert.equal(level("-L2", "--quiet=off"), 2);
  assert.equal(level("-q", "--quiet=off"), 1);
});

test("contradictions are refused with stud's text", () => {
  const pairs = [
    ["tls", "ssl"],
    ["tls", "tls-protos=TLSv1.2"],
    ["ssl", "tls-protos=TLSv1.2"],
  ] as const;
  for (const [a, b] of pairs) {
    const name = b.split("=")[0];
    const message = (one: string, other: string) =>
      `Options --${one} and --${other} are mutually exclusive. Remove one of them.`;
    refused([`--${a}`, `--${b}`, "a.pem"], message(a, name!));
    refused([`--${b}`, `--${a}`, "a.pem"], message(name!, a));
  }
  const prefixes = ["write-ip", "write-proxy", "write-proxy-v2", "proxy-proxy"];
  for (const a of prefixes) {
    for (const b of prefixes.filter((name) => name !== a)) {
      refused([`--${a}`, `--${b}`, "a.pem"], /^Options --[\w-]+ and --[\w-]+ are mutually excl/);
    }
  }
  refused(["--test", "--demo"], /^Options --test and --demo are mutually exclusive\./);
  refused(
    ["--proxy-tlvs=ssl", "--proxy-tlv=off", "a.pem"],
    /^Options --proxy-tlvs and --proxy-tlv/,
  );
});

test("contradictions are refused with hitch's text", () => {
  refused(
    ["--write-ip", "--write-proxy", "a.pem"],
    /^Options --write-ip, --write-proxy-proxy, --write-proxy-v1 and --write-proxy-v2 are mutually exclusive\. /,
    { dialect: "hitch" },
  );
});

test("a PROXY header can be accepted and written, but not accepted and forwarded", () => {
  const accept = ["--accept-proxy", "--trusted-proxies=::1"];
  const { prefix, acceptProxy } = config(...accept, "--write-proxy");
  assert.deepEqual({ prefix, mode: acceptProxy.mode }, { prefix: "proxy-v1", mode: "use" });
  assert.deepEqual(config("--proxy-proxy").acceptProxy, { mode: "pass", trusted: [] });
  refused([...accept, "--proxy-proxy", "a.pem"], /^Options --proxy-proxy and --accept-proxy are/);
  refused(["--accept-proxy", "a.pem"], /^--accept-proxy needs .+ --trusted-proxies$/);
});

test("the TLS versions are those requested", () => {
  const protocols = (...argv: string[]) => config(...argv).frontends[0]!.tls.protocols;
  assert.deepEqual(protocols("--tls"), ["TLSv1.2", "TLSv1.3"]);
  assert.deepEqual(protocols("--ssl"), everything.protocols);
  assert.deepEqual(protocols("--ssl", "--tls=off"), everything.protocols);
  assert.deepEqual(protocols("--tls-protos", "TLSv1.2|tlsV1.0"), ["TLSv1.0", "TLSv1.2"]);
  refused(["--tls=off", "a.pem"], /^--tls=off leaves no TLS version; choose/);
  for (const list of ["", "TLSv1", "TLS", "all -TLSv1.0", "TLSv1.2,TLSv1.4", "!TLSv1.0"]) {
    refused([`--tls-protos=${list}`, "a.pem"], /is not a list of TLS versions; use any of TLSv1/);
  }
  refused(
    ["--tls-protos=SSLv3", "a.pem"],
    "--tls-protos: SSLv3 no longer exists in any of these TLS libraries; " +
      "use any of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3",
  );
  refused(["--tls-protos=SSLv2 sslv3", "a.pem"], /^--tls-protos: SSLv2 and SSLv3 no longer exist/);
});

test("versions that no build has are passed over, unless none is left", () => {
  const file = 'frontend = { host = "::1" port = "1" tls-protos = SSLv3 TLSv1.3 pem-file = "a" }';
  const all = "TLSv1.0 TLSv1.1 TLSv1.2 TLSv1.3";
  const known: [argv: string[], setting: Setting, protocols: string[], warning: RegExp][] = [
    [["--tls-protos=SSLv3 TLSv1.0 TLSv1.2"], {}, ["TLSv1.0", "TLSv1.2"], /^--tls-protos: .*SSLv3 /],
    [["--tls-protos=sslv2,TLSv1.3"], {}, ["TLSv1.3"], /passed over SSLv2 .*any build/],
    [["--config=c"], { files: { c: file } }, ["TLSv1.3"], /^c:1:\d+: tls-protos: .*SSLv3 /],
    [
      [`--tls-protos=SSLv3 ${all}`],
      { build: deno },
      ["TLSv1.2", "TLSv1.3"],
      /TLSv1.1 .*Deno build/,
    ],
  ];
  for (const dialect of ["stud", "hitch"] as const) {
    for (const [argv, setting, protocols, warning] of known) {
      const { config, warnings } = start(argv, { ...setting, dialect });
      assert.deepEqual(config.frontends[0]!.tls.protocols, protocols);
      assert.match(warnings.filter((line) => line.includes("tls-protos")).join("\n"), /^[^\n]+$/);
      assert.match(warnings.filter((line) => !line.startsWith("--ocsp-dir")).join("\n"), warning);
    }
  }
  const bun = { ...node, capabilities: { ...everything, versionGaps: false } };
  const gaps: [build: typeof node, client: boolean, named: string, protocols: string[]][] = [
    [bun, false, "TLSv1.0 TLSv1.2", ["TLSv1.2"]],
    [bun, false, "TLSv1.0 TLSv1.1 TLSv1.3", ["TLSv1.3"]],
    [bun, false, "TLSv1.0 TLSv1.2 TLSv1.3", ["TLSv1.2", "TLSv1.3"]],
    [bun, false, "TLSv1.1 TLSv1.2", ["TLSv1.1", "TLSv1.2"]],
    [node, true, "TLSv1.1 TLSv1.3", ["TLSv1.3"]],
  ];
  for (const [build, client, named, protocols] of gaps) {
    const argv = [`--tls-protos=${named}`, ...(client ? ["--client"] : [])];
    const { config, warnings } = start(argv, { build });
    assert.deepEqual(config.frontends[0]!.tls.protocols, protocols);
    const passedOver = named.split(" ").filter((version) => !protocols.includes(version));
    const warned = warnings.filter((line) => line.includes("must not have a gap"));
    const expected = passedOver.length === 0 ? [] : [`passed over ${passedOver.join(", ")} (`];
    assert.deepEqual(warned.map((line) => /passed over .*? \(/.exec(line)![0]), expected);
  }
  // Deno offers TLSv1.3 in any case, and cannot do what excludes it.
  for (const list of ["TLSv1.0 TLSv1.2", "TLSv1.3", "SSLv3 TLSv1.2"]) {
    assert.match(
      problemsOf([`--tls-protos=${list}`, "a.pem"], { build: deno }).join(),
      /always both/,
    );
  }
  refused(["--tls-protos=SSLv3 TLSv1.1", "a.pem"], /^--tls-protos: TLSv1.1 is not/, {
    build: deno,
  });
});

test("hitch's --tls means every version, and off means nothing", () => {
  const dialect: Dialect = "hitch";
  const on = start(["--tls"], { dialect });
  assert.deepEqual(on.config.frontends[0]!.tls.protocols, everything.protocols);
  assert.match(on.warnings.join(), /^--tls is deprecated; it offers TLSv1\.0, /);
  const off = start(["--tls=off"], { dialect });
  assert.deepEqual(off.config.frontends[0]!.tls.protocols, ["TLSv1.2", "TLSv1.3"]);
  assert.deepEqual(off.warnings, ["Warning: tls = off is deprecated and has no effect."]);
});

test("--ssl reports which versions it offers", () => {
  const { warnings, config } = start(["--ssl"], { build: deno });
  assert.deepEqual(warnings, [
    "--ssl offers TLSv1.2, TLSv1.3; SSLv3 no longer exists in any of these TLS libraries",
  ]);
  assert.deepEqual(config.frontends[0]!.tls.protocols, ["TLSv1.2", "TLSv1.3"]);
});

test("an unsupported option is refused with the builds that support it", () => {
  const setting = { build: deno };
  refused(
    ["--ciphers=AES256", "a.pem"],
    "--ciphers is not supported by the Deno build (rustls has a fixed list); " +
      "use the Bun or Node build",
    setting,
  );
  const words = ["--backend-source=::1", "--ecdh-curve=X25519", "--sni-nomatch-abort"];
  words.push("--proxy-proxy", "-f/run/x", "-f@x", "-fsystemd:x", "--proxy-tlvs=ssl");
  for (const word of words) {
    refused([word, "a.pem"], /^--.+ is not supported .+; use the Bun or Node build$/, setting);
  }
  for (const word of ["-ex", "-oo", "--ocsp-verify-staple", "--ciphersuites=TLS_X"]) {
    refused([word, "a.pem"], /^--.+ is not supported .+; use the Node build$/, setting);
  }
  refused(
    ["--client-verify=required", "--client-verify-ca=x", "a.pem"],
    /^--client-verify is not supported /,
    setting,
  );
  const modern = {
    build: { name: "bun", capabilities: { ...everything, protocols: [] } },
  } as const;
  refused(
    ["--tls-protos=TLSv1.0", "a.pem"],
    "--tls-protos: TLSv1.0 is not supported by the Bun build " +
      "(its TLS library does not support it); use the Node build",
    modern,
  );
});

test("a value that every build has anyway needs no capability", () => {
  const argv = ["--ciphers=", "-O", "--prefer-server-ciphers=off", "--tls-protos=TLSv1.3 TLSv1.2"];
  argv.push("--ecdh-curve=auto", "-o", "", "--client-verify=none", "--proxy-tlv=on");
  const { tls } = start(argv, { build: deno }).config.frontends[0]!;
  assert.deepEqual(tls.protocols, ["TLSv1.2", "TLSv1.3"]);
});

test("a PROXY header without TLS facts is warned about", () => {
  const { warnings, config } = start(["--write-proxy-v2"], { build: deno });
  assert.match(warnings.join(), /addresses and ALPN only$/);
  assert.deepEqual(config.proxyTlvs, ["alpn"]);
  assert.deepEqual(start(["--write-proxy-v2"]).warnings, []);
});

test("a PROXY header has the TLVs of the dialect", () => {
  const all = ["alpn", "authority", "ssl", "cn", "sig-alg", "key-alg"];
  assert.deepEqual(config("--write-proxy-v2").proxyTlvs, all);
  assert.deepEqual(config("--write-proxy-v2", "--proxy-client-cert").proxyTlvs, [
    ...all,
    "client-cert",
  ]);
  const v2 = (...argv: string[]) => hitch("--write-proxy-v2", ...argv).proxyTlvs;
  assert.deepEqual(v2(), ["alpn", "authority", "ssl"]);
  assert.deepEqual(v2("--proxy-client-cert=on"), ["alpn", "authority", "hitch-cert", "ssl"]);
  assert.deepEqual(v2("--proxy-tlv=off", "--proxy-client-cert"), [
    "alpn",
    "authority",
    "hitch-cert",
  ]);
  assert.deepEqual(v2("--proxy-authority=off"), ["alpn", "ssl"]);
  assert.deepEqual(v2("--proxy-tlvs=crc32c,ssl,crc32c"), ["crc32c", "ssl"]);
});

test("a certificate is required, except with --demo and in client mode", () => {
  refused([], /^No x509 certificate PEM file specified! Specify at least one/);
  refused(["-t"], /^No x509 certificate PEM file specified!/);
  refused(["-t"], /^No x509 .+ specified for frontend 'default'!/, { dialect: "hitch" });
  refused(["-f[*]:443"], /for frontend '\[\*\]:443'!/, { dialect: "hitch" });
  refused(["-f*,1+a.pem", "-f::1,2"], /^No x509 .+ for frontend '\[::1\]:2'!/);
  assert.equal(parse(["--demo"]).kind, "demo");
  assert.equal(parse(["--client"]).kind, "run");
  assert.equal(parse(["--pem-dir=d"]).kind, "run");
  assert.equal(parse(["-f*,1+a.pem"]).kind, "run");
  assert.equal(start(["-t"]).kind, "test");
});

test("every frontend is used, and none may be repeated", () => {
  const listens = config("-f*,1", "-f[a]:2", "-f/run/x", "-fsystemd:y").frontends.map((f) =>
    f.listen
  );
  assert.deepEqual(listens, [
    { host: "*", port: 1 },
    { host: "a", port: 2 },
    { path: "/run/x" },
    { activated: "y" },
  ]);
  refused(["-f*,1", "-f[*]:1", "a.pem"], "--frontend: [*]:1 is given twice; remove one");
  refused(["-f[a]:1", "-f[a]:1", "a.pem"], /Redundant frontend .+ definition: 'a:1'\. \[a\]:1 is/, {
    dialect: "hitch",
  });
  refused(["-f/x", "--write-ip", "a.pem"], /^--write-ip: clients of unix:\/x have no IP address/);
});

test("client certificates require a CA", () => {
  const original =
    /^Setting 'client-verify-ca' is required when configuring client-verify; specify/;
  refused(["--client-verify=required", "a.pem"], original);
  refused(["--client-verify=optional", "a.pem"], original, { dialect: "hitch" });
  assert.deepEqual(
    config("--client-verify=none", "--client-verify-ca=x").frontends[0]!.clientVerify,
    noVerify,
  );
});

test("client mode verifies the backend by default, in hitch's dialect on request", () => {
  const backend = (...argv: string[]) => config("--client", "-ba.test,443", ...argv).backendTls;
  assert.deepEqual(backend(), { serverName: "a.test", verify: true, ca: "", tls });
  assert.deepEqual(backend("--client-verify=none")?.verify, false);
  assert.deepEqual(backend("--client-verify-ca=ca", "--backend-name=b")?.serverName, "b");
  assert.deepEqual(backend("--client-verify-ca=ca")?.ca, "/etc/stud/ca");
  assert.equal(backend("-b::1,443")?.serverName, "");
  assert.equal(backend("-b/run/x")?.serverName, "");
  assert.equal(hitch("--client").backendTls?.verify, false);
  const ca = ["--client-verify=required", "--client-verify-ca=/x"];
  assert.equal(hitch("--client", ...ca).backendTls?.ca, "/x");
  refused(["--client", "--client-verify=required"], /^Setting 'client-verify-ca' is required/, {
    dialect: "hitch",
  });
});

test("client mode refuses options without effect", () => {
  for (const name of ["write-ip", "write-proxy", "write-proxy-v2", "proxy-proxy"]) {
    refused(["--client", `--${name}`], new RegExp(`^--${name} has no effect with --client, `));
  }
  refused(["--client", "--client-verify-crl=x"], /^--client-verify-crl is not supported with/);
  const setting = { build: deno };
  assert.equal(start(["--client"], setting).config.backendTls?.verify, true);
  refused(["--client", "--client-verify=none"], /without verification is not supported/, setting);
  refused(["--client", "--client-verify-ca=x"], /^--client-verify-ca is not supported/, setting);
  refused(["--client"], /^--client without verification is not supported/, {
    ...setting,
    dialect: "hitch",
  });
  assert.match(start(["--client"]).warnings.join(), /^--client: the certificates are not used/);
});

test("--max-connections must allow one for each worker", () => {
  refused(
    ["-n", "4", "--max-connections=3", "a.pem"],
    "--max-connections: 3 is less than one for each of 4 workers; use at least 4, or fewer --workers",
  );
});

test("options without effect are warned about", () => {
  const words = [
    "--proxy-tlvs=ssl",
    "--trusted-proxies=::1",
    "--pem-dir-glob=*",
    "--backend-name=a",
    "--access-log-format=json",
    "--access-log-sample=1/10",
  ];
  for (const word of words) {
    assert.match(start([word]).warnings.join(), /^--[a-z-]+ has no effect without --[a-z-]+/);
  }
});

test("OCSP responses are kept in the dialect's directory", () => {
  const directories = ["/var/lib/hitch"];
  const directory = (argv: string[], setting: Setting) =>
    start(argv, setting).config.ocsp.directory;
  assert.equal(directory([], { dialect: "hitch", directories }), "/var/lib/hitch");
  assert.equal(directory([], { dialect: "hitch", directories, build: deno }), "");
  assert.match(
    start([], { dialect: "hitch", directories, build: deno }).warnings.join("\n"),
    /^--ocsp-dir: the Deno build staples no OCSP responses, [^\n]+Node build[^\n]*$/,
  );
  assert.equal(directory(["--ocsp-dir="], { dialect: "hitch", directories }), "");
  assert.equal(directory(["--client"], { dialect: "hitch", directories }), "");
  assert.equal(directory([], { directories }), "");
  refused(["-o/x", "a.pem"], /^--ocsp-dir: "\/x" is not a directory; create it/, { directories });
  const { warnings } = start(["-o/x"], { dialect: "hitch", directories });
  assert.match(warnings.join(), /^\{ocsp\} Warning: Unable to stat directory '\/x': /);
});

test("directories must exist", () => {
  const setting = { directories: [] };
  refused(["--pem-dir=x"], /^--pem-dir: "\/etc\/stud\/x" is not a directory; specify an/, setting);
});

test("a daemon logs to syslog unless it has a log file", () => {
  assert.equal(config("--daemon").log.syslog, "daemon");
  assert.equal(config("--daemon", "-lx").log.syslog, "");
  assert.equal(config("--daemon", "--syslog=off", "-lx").log.syslog, "");
  assert.match(start(["--daemon"], { dialect: "hitch" }).warnings.join(), /the log is discarded/);
  assert.equal(config("-s", "--syslog-facility=local7").log.syslog, "local7");
});

test("settings that prevent resumption are refused", () => {
  const secret = "--ticket-secret-file=s";
  refused(
    ["--session-timeout=3600", "--ticket-rotation=60", "a"],
    /60 s after .+ at most --ticket-rot/,
  );
  assert.equal(config("--tickets=off", "--ticket-rotation=60").sessions.timeout, 7200);
  refused(["--ticket-store=redis://127.0.0.1", "a"], /^--ticket-store needs a secret/);
  refused(["-U[127.0.0.1]:8200", secret, "a"], /^--shared-cache-listen needs sessions to share/);
  refused(["-U[127.0.0.1]:8200", "-C9", "a"], /^--shared-cache-listen needs a secret/);
  for (
    const url of [
      "x",
      "http://a",
      "redis://a/x",
      "redis://:p@a?x=y",
      "rediss:///1",
      "redis://:5%@a",
    ]
  ) {
    refused(
      [`--ticket-store=${url}`, secret, "a"],
      /^--ticket-store: it is not the URL of a store/,
    );
  }
  for (const word of ["eth0,", "eth0,0", "eth0,256", "a b", ",1"]) {
    refused(
      [`-M${word}`, "a.pem"],
      /^--shared-cache-if: .+ is not an interface; for example, use eth0/,
    );
  }
  refused(["-P[*]:8200", "a.pem"], /^--shared-cache-peer: .+ means every address/);
});

test("a store's password is warned about on the command line, not in a file", () => {
  const secret = "--ticket-secret-file=s";
  const onLine = start(["--ticket-store=redis://u:word@a", secret]).warnings;
  assert.match(onLine.join("\n"), /^--ticket-store: all users can see its password/);
  assert.ok(!onLine.join().includes("word@"));
  assert.deepEqual(start(["--ticket-store=redis://u@a:6379", secret]).warnings, []);
  const files = { F: "ticket-store = redis://u:word@a\n" };
  assert.deepEqual(start(["--config", "F", secret], { files }).warnings, []);
});

test("sessions are shared with the given machines", () => {
  const words = ["-C9", "--ticket-secret-file=s", "-U224.0.0.9,8200", "-M", "eth1,4"];
  const { sessions } = config(...words, "-P[192.0.2.1]:8201", "-P192.0.2.2,8202");
  assert.deepEqual(sessions.cachePeers, {
    listen: { host: "224.0.0.9", port: 8200 },
    peers: [{ host: "192.0.2.1", port: 8201 }, { host: "192.0.2.2", port: 8202 }],
    interface: "eth1",
    ttl: 4,
  });
  assert.equal(config("-C9").sessions.cachePeers, undefined);
});

test("all errors are reported at once", () => {
  const problems = problemsOf([
    "-nx",
    "--nonsense",
    "--write-ip",
    "--write-proxy",
    "-k-1",
    "--tls=x",
  ]);
  // That no certificate is given may follow from the first error.
  assert.equal(problems.length, 5, problems.join("\n"));
});

test("--help and --version take precedence over invalid values, not over unknown options", () => {
  assert.equal(parse(["-n", "x", "--config=nowhere", "-h"]).kind, "help");
  assert.equal(parse(["--tls", "--ssl", "-V", "-h"]).kind, "version");
  assert.match(problemsOf(["--help", "--nonsense"]).join(), /is not an option/);
});

test("--default-config shows the values given before and after it", () => {
  const command = parse(["-n3", "--default-config", "-k", "17", "a.pem"]);
  assert.ok(command.kind === "default-config");
  assert.match(command.text, /^workers = 3$/m);
  assert.match(command.text, /^keepalive = 17$/m);
  assert.match(command.text, /^pem-file = "a.pem"$/m);
  refused(["-n", "x", "--default-config"], /^--workers: /);
  refused(["--default-config", "-n", "x"], /^--workers: /);
  refused(["--default-config", "--test"], /^Options --default-config and --test are mutually/);
});

test("the commented lines of --default-config are examples that could be used", () => {
  const command = parse(["--default-config"]);
  assert.ok(command.kind === "default-config");
  const examples = command.text.split("\n").flatMap((line) =>
    /^# ([a-z-]+ = .+)$/.exec(line)?.[1] ?? []
  );
  assert.ok(examples.length >= 10);
  for (const example of examples) {
    const problems = faultsOf(`${example}\nclient-verify-ca = "x"\n`, "stud");
    const own = problems.filter((problem) => problem.startsWith("F:1"));
    assert.deepEqual(own, [], example);
  }
});

test("--default-config shows no password", () => {
  const command = parse(["--default-config", "--ticket-store=rediss://u:hunter2@h:1/2"]);
  assert.ok(command.kind === "default-config");
  assert.doesNotMatch(command.text, /hunter2/);
  assert.match(
    command.text,
    /^ticket-store = "rediss:\/\/h:1\/2" # add the user and the password$/m,
  );
});
