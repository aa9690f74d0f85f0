import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { Dialect } from "../../src/base/dialect.ts";
import { configOf, faultsOf, problemsOf, start } from "../support/parse.ts";

const dialects = ["stud", "hitch"] as const;

/** Every key of the original stud, in its grammar, with its quirks. */
const studFile = `# a service
frontend = *,443
backend=127.0.0.1,8080   remarks follow a space
pem-file = "/etc/a.pem"
pem-file = '/etc/b.pem'

tls = off
ssl = on
ciphers = "HIGH:!aNULL"
ssl-engine = ""
prefer-server-ciphers = YES
workers = 1
workers = 4 # the last one counts
backlog = -1
keepalive = 100
chroot = "/srv"
user = "nobody"
group = "nogroup"
quiet = t
syslog = 1
syslog-facility = "local1"
daemon = y
write-ip = on
write-ip = off
write-proxy = true
proxy-proxy = 0
shared-cache = 0
shared-cache-listen = ""
\tquiet = off
  # quiet = on
`;

/** Every key of hitch's grammar, in any layout. */
const hitchFile = `
frontend = { host = "*" port = "443" }   frontend = "[::1]:8443+/etc/c.pem"
frontend = {
  host = "192.0.2.1"; port = https,
  pem-file = "/etc/d.pem"
  pem-file = { cert = "/etc/e.crt" private-key = "/etc/e.key" ocsp-resp-file = "/etc/e.ocsp"
    ocsp-verify-staple = off client-verify = required client-verify-ca = "/etc/e.ca" }
  match-global-certs = on
  sni-nomatch-abort = on
  tls-protos = TLSv1.0 TLSv1.3
  ciphers = "LOW" ciphersuites = "TLS_AES_128_GCM_SHA256"
  prefer-server-ciphers = on
  client-verify = optional
  client-verify-ca = "/etc/f.ca"
}
backend =
  "/run/backend.sock"
pem-file = "/etc/a.pem" pem-file = { cert = "/etc/b.pem" }
pem-dir = "/etc/pems"   pem-dir-glob = "*.pem"
ciphers = "HIGH"        ciphersuites = "TLS_AES_256_GCM_SHA384"
ecdh-curve = auto
tls-protos = TLSv1.2, TLSv1.3;
prefer-server-ciphers = off
ssl-engine = ""
alpn-protos = "h2, http/1.1"
sni-nomatch-abort = off
client-verify = none
client-verify-ca = "/etc/g.ca"
workers = auto workers=2
backlog = 7 keepalive = 8 backend-refresh = 9
backend-connect-timeout = 10 ssl-handshake-timeout = 11
recv-bufsize = 12 send-bufsize = 13
tcp-fastopen = on
chroot = "/srv" user = nobody group = "nogroup"
quiet = on log-level = 3
log-filename = "/var/log/x" syslog-facility = daemon
syslog = on daemon = "off"
write-ip = no write-proxy-v1 = off write-proxy-v2 = off write-proxy = on proxy-proxy = n
proxy-tlv = on proxy-authority = off proxy-client-cert = on
ocsp-dir = ""
ocsp-verify-staple = on
ocsp-connect-tmo = 14 ocsp-resp-tmo = 15 ocsp-refresh-interval = 16
session-cache = 17
# the last line is a remark`;

test("stud's grammar is parsed as by stud, and off means off", () => {
  const { config, warnings } = start(["--config", "F"], { files: { F: studFile } });
  assert.deepEqual(config.frontends.map(({ listen }) => listen), [{ host: "*", port: 443 }]);
  assert.deepEqual(config.backend, { host: "127.0.0.1", port: 8080 });
  assert.deepEqual(config.pemFiles.map(({ cert }) => cert), [
    "/etc/a.pem",
    "/etc/b.pem",
    "/etc/stud/site.pem",
  ]);
  const [{ tls }] = config.frontends as [typeof config.frontends[0]];
  assert.equal(tls.protocols[0], "TLSv1.0");
  assert.equal(tls.ciphers, "HIGH:!aNULL");
  assert.equal(tls.preferServerCiphers, true);
  assert.equal(config.engine, "");
  assert.equal(config.workers, 4);
  assert.equal(config.backlog, 2147483647);
  assert.equal(config.keepalive, 100);
  assert.deepEqual(config.privileges, { user: "nobody", group: "nogroup", chroot: "/srv" });
  assert.equal(config.log.level, 1);
  assert.equal(config.log.syslog, "local1");
  assert.equal(config.daemon, true);
  assert.equal(config.prefix, "proxy-v1");
  assert.equal(
    warnings[0],
    "F:3:26: backend: what follows the value is ignored; put a # before it, or quote the value",
  );
});

test("hitch's grammar is parsed in both dialects", () => {
  for (const dialect of dialects) {
    const text = dialect === "hitch"
      ? hitchFile
      : hitchFile.replace("log-level = 3", "log-level = 2");
    const config = configOf(text, dialect);
    const [first, second, third] = config.frontends;
    assert.deepEqual(first?.listen, { host: "*", port: 443 });
    assert.equal(first?.matchGlobalCerts, true);
    assert.deepEqual(first?.clientVerify, { mode: "none", ca: "", crl: "" });
    assert.equal(second?.pemFiles[0]?.cert, "/etc/c.pem");
    assert.equal(second?.matchGlobalCerts, false);
    assert.deepEqual(third, {
      listen: { host: "192.0.2.1", port: 443 },
      pemFiles: [
        { cert: "/etc/d.pem", key: "", ocspResponse: "", ocspVerify: true },
        {
          cert: "/etc/e.crt",
          key: "/etc/e.key",
          ocspResponse: "/etc/e.ocsp",
          ocspVerify: false,
          clientVerify: { mode: "required", ca: "/etc/e.ca", crl: "" },
        },
      ],
      matchGlobalCerts: true,
      sniNomatchAbort: true,
      tls: {
        protocols: ["TLSv1.0", "TLSv1.3"],
        ciphers: "LOW",
        ciphersuites: "TLS_AES_128_GCM_SHA256",
        curves: "",
        preferServerCiphers: true,
      },
      clientVerify: { mode: "optional", ca: "/etc/f.ca", crl: "" },
    });
    assert.deepEqual(config.backend, { path: "/run/backend.sock" });
    assert.deepEqual(config.pemDirectory, { path: "/etc/pems", glob: "*.pem" });
    assert.deepEqual(first?.tls.protocols, ["TLSv1.2", "TLSv1.3"]);
    assert.deepEqual(config.alpn, ["h2", "http/1.1"]);
    assert.deepEqual(
      [
        ...[config.workers, config.backlog, config.keepalive, config.backendRefresh],
        ...[config.backendConnectTimeout, config.handshakeTimeout, config.recvBufsize],
        ...[config.sendBufsize, config.ocsp.connectTimeout, config.ocsp.responseTimeout],
        config.ocsp.refreshInterval,
        config.sessions.cache,
      ],
      [2, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
    );
    assert.equal(config.tcpFastopen, true);
    assert.equal(config.ocsp.directory, "");
    assert.equal(config.ocsp.verify, true);
    assert.deepEqual(config.log, {
      level: 2,
      format: "text",
      file: "/var/log/x",
      quiet: [],
      syslog: "daemon",
    });
    assert.deepEqual(config.privileges, { user: "nobody", group: "nogroup", chroot: "/srv" });
    assert.equal(config.prefix, dialect === "hitch" ? "proxy-v2" : "proxy-v1");
    assert.deepEqual(config.proxyTlvs, dialect === "hitch" ? ["alpn", "hitch-cert", "ssl"] : []);
  }
});

test("quoted texts, numbers and flags mean the same in both grammars", () => {
  const lines = 'user = "a b"\nworkers = 3\nquiet = on\ntls-protos = TLSv1.2 TLSv1.3\n';
  const pem = { cert: "/x" };
  const [plain, blocks] = [lines, `${lines}pem-file = { cert = "${pem.cert}" }`].map((text) =>
    configOf(text, "stud")
  );
  assert.deepEqual({ ...blocks, pemFiles: [] }, { ...plain, pemFiles: [] });
  assert.equal(plain?.privileges.user, "a b");
});

test("lists in stud's grammar extend to the end of their line", () => {
  const text =
    "alpn-protos = h2, http/1.1 # two\ntrusted-proxies = ::1 10.0.0.0/8\naccept-proxy = on";
  const { alpn, acceptProxy } = configOf(text, "stud");
  assert.deepEqual(alpn, ["h2", "http/1.1"]);
  assert.deepEqual(acceptProxy.trusted, ["::1", "10.0.0.0/8"]);
});

test("the example in hitch's package is parsed in both dialects", (t) => {
  const path = "/usr/share/doc/hitch/examples/hitch.conf.example";
  if (!existsSync(path)) return t.skip("hitch is not installed");
  for (const dialect of dialects) {
    const { frontends, prefix, daemon } = configOf(readFileSync(path, "utf8"), dialect);
    assert.deepEqual(frontends.map(({ listen }) => listen), [{ host: "*", port: 443 }]);
    assert.deepEqual({ prefix, daemon }, { prefix: "proxy-v2", daemon: true });
  }
});

test("in stud's dialect the last setting wins, in hitch's the command line", () => {
  const files = { F: "workers = 7\nwrite-proxy = on\nssl = on" };
  const workers = (dialect: Dialect, ...argv: string[]) =>
    start(argv, { dialect, files }).config.workers;
  assert.equal(workers("stud", "-n2", "--config=F"), 7);
  assert.equal(workers("stud", "--config=F", "-n2"), 2);
  assert.equal(workers("hitch", "-n2", "--config=F"), 2);
  const { frontends } = start(["--config=F", "--tls"], { files }).config;
  assert.equal(frontends[0]!.tls.protocols[0], "TLSv1.2");
  const argv = ["--config=F", "--tls", "a.pem"];
  assert.match(problemsOf(argv, { dialect: "hitch", files }).join(), /^Deprecated options --tls/);
  const override = ["--config=F", "--tls-protos=TLSv1.3"];
  const hitch = start(override, { dialect: "hitch", files }).config;
  assert.deepEqual(hitch.frontends[0]!.tls.protocols, ["TLSv1.3"]);
});

test("frontends on the command line add to hitch's files and replace stud's", () => {
  const files = { F: 'frontend = "[*]:1"\nfrontend = "[*]:2"' };
  const ports = (dialect: Dialect, ...argv: string[]) =>
    start(argv, { dialect, files }).config.frontends.map(({ listen }) =>
      "port" in listen ? listen.port : 0
    );
  assert.deepEqual(ports("stud", "--config=F"), [1, 2]);
  assert.deepEqual(ports("stud", "--config=F", "-f[*]:3", "-f[*]:4"), [3, 4]);
  assert.deepEqual(ports("stud", "-f[*]:3", "--config=F"), [1, 2]);
  assert.deepEqual(ports("hitch", "-f[*]:3", "--config=F"), [1, 2, 3]);
});

test("standard input can be a file, once", () => {
  const files = { "-": "workers = 5" };
  assert.equal(start(["--config", "-"], { files }).config.workers, 5);
  assert.equal(start(["--config="], { files }).config.workers, 5);
  assert.deepEqual(problemsOf(["--config=-", "--config=", "a.pem"], { files }), [
    "--config: standard input can be read only once; remove one -",
  ]);
  assert.match(
    problemsOf(["--config=-", "a.pem"], { files: { "-": "workers = x" } }).join(),
    /^standard input:1:11: workers: "x"/,
  );
});

test("an unreadable file is the only error that is reported", () => {
  assert.deepEqual(problemsOf(["--config=/no"]), [
    "--config: /no: it does not exist; check the path",
  ]);
  assert.match(
    problemsOf(["--config=/no"], { dialect: "hitch" }).join(),
    /^Unable to open configuration file '\/no': /,
  );
});

test("an error has file, line and column, and says what was expected", () => {
  const cases: [string, string][] = [
    [
      "\n  workers = many",
      'F:2:13: workers: "many" is not a whole number; use 1 to 1024, or auto',
    ],
    [
      "wrokers = 1",
      "F:1:1: wrokers is not a key; did you mean workers?",
    ],
    ["  daemon", "F:1:3: expected KEY = VALUE; daemon needs a value"],
    ["= 4", "F:1:1: expected KEY = VALUE"],
    [
      "client-verify-ca =",
      "F:1:19: client-verify-ca: it is empty; specify a file",
    ],
    [
      "cert = x",
      "F:1:1: cert is not a key; it belongs to a pem-file block",
    ],
    [
      "config = x",
      "F:1:1: config is not a key; it belongs to the command line",
    ],
  ];
  for (const [text, fault] of cases) assert.deepEqual(faultsOf(text, "stud"), [fault]);
});

test("hitch's own text comes first, then ours", () => {
  const cases: [string, string][] = [
    [
      "\nwrokers = 1",
      "Parsing error in line 2: syntax error: F:2:1: wrokers is not a key; did you mean workers?",
    ],
    [
      "workers 4",
      "Parsing error in line 1: syntax error: F:1:9: expected a = after workers",
    ],
    [
      "workers =",
      "Parsing error in line 1: syntax error: F:1:10: expected a value for workers",
    ],
    [
      "backlog = -4",
      "Parsing error in line 1: syntax error: F:1:11: backlog: expected a non-negative number, without quotes (in quotes if it has a fraction)",
    ],
    ...["-4", '"auto"'].map((value): [string, string] => [
      `workers = ${value}`,
      "Parsing error in line 1: syntax error: F:1:11: workers: expected a number, or auto, without quotes",
    ]),
    [
      "quiet = 1",
      "Parsing error in line 1: syntax error: F:1:9: quiet: expected on or off",
    ],
    [
      "chroot = /tmp",
      'Parsing error in line 1: syntax error: F:1:10: chroot: expected quotes around the value, as in chroot = "DIR"',
    ],
    [
      'user = "x',
      'Parsing error in line 1: syntax error: F:1:8: expected a " at the end of this string',
    ],
    [
      'user = "x\\"y"',
      'Parsing error in line 1: syntax error: F:1:8: user: expected text without " and without escapes',
    ],
    [
      'tls-protos = "TLSv1.2"',
      "Parsing error in line 1: syntax error: F:1:14: tls-protos: expected TLS versions without quotes, as in TLSv1.2 TLSv1.3",
    ],
    [
      "frontend = {}",
      "Parsing error in line 1: syntax error: F:1:13: expected a key before the }",
    ],
    [
      "frontend = { port = 443 }",
      'Parsing error in line 1: syntax error: F:1:21: port: expected quotes around the value, as in port = "PORT"',
    ],
    [
      'frontend = { port = "1"',
      "Parsing error in line 1: syntax error: F:1:24: expected a }",
    ],
    [
      "keepalive = 32768",
      "Error in configuration file 'F', line 1: Number out of range. F:1:13: keepalive: \"32768\" is out of range; use 0 to 32767",
    ],
    [
      'frontend = { host = "a" }',
      "Error in configuration file 'F', line 1: No port number specified for frontend '[a]'! F:1:12: frontend: this block has no port; add port = \"443\"",
    ],
    [
      'pem-file = { private-key = "k" }',
      "Error in configuration file 'F', line 1: F:1:12: pem-file: this block has no certificate; add cert = \"FILE\"",
    ],
    [
      'client-verify-ca = ""',
      "Error in configuration file 'F', line 1: F:1:20: client-verify-ca: it is empty; specify a file",
    ],
    [
      "tls-protos = TLSv1.2\nssl = on",
      "Error in configuration file 'F', line 2: It is illegal to specify ssl after ssl, tls or tls-protos F:2:7: ssl: tls-protos and ssl exclude each other",
    ],
    [
      "ssl = on\ntls = off",
      "Error in configuration file 'F', line 2: It is illegal to specify tls after ssl, tls or tls-protos F:2:7: tls: ssl and tls exclude each other",
    ],
  ];
  for (const [text, fault] of cases) {
    const faults = faultsOf(text, "hitch").filter((line) => !line.startsWith("No x509"));
    assert.equal(faults[0], fault);
  }
});

test("frontends without CAs or certificates are refused with hitch's text", () => {
  const frontend = (inside: string) => faultsOf(`frontend = { port = "1" ${inside} }`, "hitch")[0];
  assert.match(
    frontend("client-verify = required")!,
    /^No 'client-verify-ca' configured for frontend '\[\*\]:1'; specify/,
  );
  assert.match(
    frontend("match-global-certs = off")!,
    /^No certificate configured for frontend '\[\*\]:1'; add/,
  );
  assert.match(
    frontend('pem-file = { cert = "c" client-verify = optional }')!,
    /Setting 'client-verify-ca' is required when configuring client-verify/,
  );
});

test("the error for a key in the wrong block says where it belongs", () => {
  assert.match(
    faultsOf('frontend = { port = "1" workers = 2 }', "stud")[0]!,
    /workers is not a key in a frontend block; it belongs to the top level of a file/,
  );
});

test("all errors in a file are reported, but only the first syntax error", () => {
  const text = "workers = x quiet = 2\nnope = { a = { b = 1 } } keepalive = x\nuser 1\nbacklog = y";
  assert.equal(faultsOf(text, "hitch").length, 5);
  assert.equal(faultsOf("workers = x\nnope\nkeepalive = x\nfoo = 1", "stud").length, 4);
});

test("comments, line ends and braces in strings are accepted", () => {
  for (const dialect of dialects) {
    for (const text of ["# x\nuser = y", "\uFEFFworkers = 2\r\n# {\r\n", 'user = "{"\n#']) {
      assert.deepEqual(faultsOf(text, dialect), [], text);
    }
  }
  assert.equal(configOf('user = "a#b" # c', "stud").privileges.user, "a#b");
});

test("no error quotes a text that can be a secret", () => {
  const base64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7hunter2";
  const cases = [
    'ticket-stor = "rediss://u:hunter2@h:1"',
    'ticket-store = "rediss://u:hunter2@h:1/not/a/store"',
    'ticket-store = "rediss://u:hunter2@h:1\u0001"',
    'ticket-store "rediss://u:hunter2@h:1"',
    'backend = "rediss://u:hunter2@h:1"',
    'frontend = { ticket-store = "rediss://u:hunter2@h:1" }',
    "ticket-store = rediss://u:hunter2@h:x",
    'ticket-store = "rediss://u:hunter2@h:1',
    "workers = rediss://u:hunter2@h:1",
    "log-level = { hunter2 = 1 }",
    "hunter2",
    base64,
    `${base64}==`,
    `-----END PRIVATE KEY-----\n${base64}=\nhunter2x==`,
  ];
  for (const dialect of dialects) {
    for (const text of cases) {
      const faults = faultsOf(text, dialect);
      assert.ok(faults.length > 0, text);
      for (const fault of faults) assert.doesNotMatch(fault, /hunter2|MIIE/, text);
    }
  }
  assert.match(faultsOf(cases[0]!, "stud")[0]!, /^F:1:1: ticket-stor is not a key; did you mean/);
  assert.equal(
    faultsOf("ok = 1\nworkers 4 rediss://u:hunter2@h", "stud")[1],
    "F:2:1: expected KEY = VALUE; write = after workers",
  );
});

test("a PEM file in the place of a configuration file is one error", () => {
  const pem = "\n-----BEGIN PRIVATE KEY-----\nMIIE=\nabcd==\n-----END PRIVATE KEY-----\n";
  const what =
    "this is a PEM file, not a configuration file; give it as an argument without --config";
  assert.deepEqual(problemsOf(["--config=F"], { files: { F: pem } }), [`--config: F: ${what}`]);
  assert.deepEqual(problemsOf(["--config=F"], { dialect: "hitch", files: { F: pem } }), [
    `Error in configuration file 'F': ${what}`,
  ]);
});

test("the number of errors from a file is limited", () => {
  const unparsed = faultsOf(`workers = 1\n${"nonsense\n".repeat(999)}`, "stud");
  assert.equal(unparsed.length, 21);
  assert.equal(unparsed.at(-1), "F: and 979 more");
  for (const dialect of dialects) {
    assert.ok(faultsOf("workers = x\n".repeat(1000), dialect).length <= 21, dialect);
  }
});

test("what was given with a fault is not also reported as missing", () => {
  const cases = [
    'frontend = { port = "1" workers = 2 pem-file = "a" }',
    'frontend = { prot = "443" pem-file = "a" }',
    'frontend = { port = 443 pem-file = "a" }',
    'frontend = { port = "x y" pem-file = "a" }',
    'frontend = { port = "443" pem-file = { private-key = "k" } }',
    'frontend = "x" pem-file = "a"',
    'pem-fil = "a"',
    'pem-file = { cert = "" }',
    'accept-proxy = on trusted-proxies = "10.0.0.0/08" pem-file = "a"',
    'accept-proxy = on trusted-proxys = "10.0.0.0/8" pem-file = "a"',
    'client-verify = "required" client-verify-ca = "" pem-file = "a"',
  ];
  for (const text of cases) {
    for (const dialect of dialects) {
      const faults = problemsOf(["--config=F"], { dialect, files: { F: `${text} # { }` } });
      const lined = dialect === "hitch" || text.includes("{");
      if (lined) assert.equal(faults.length, 1, `${dialect} ${text}: ${faults.join("\n")}`);
    }
  }
  assert.equal(
    problemsOf(["--accept-proxy", "--trusted-proxies=10.0.0.0/08", "a.pem"]).length,
    1,
  );
});
