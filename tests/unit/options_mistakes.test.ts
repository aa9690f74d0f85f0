/** What users type by mistake: the error names the mistake and the remedy, and shows no secret. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../src/base/errors.ts";
import { foreignRemedy } from "../../src/options/foreign_options.ts";
import { namesIn } from "../../src/options/table.ts";
import { deno, faultsOf, parse, problemsOf, start } from "../support/parse.ts";

const dialects = ["stud", "hitch"] as const;
const KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n";
const pem = `-----BEGIN PRIVATE KEY-----\n${KEY.repeat(20)}-----END PRIVATE KEY-----\n`;

test("other kinds of files as a configuration are one line that shows nothing of them", () => {
  const kinds: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
    "a key": [pem, /PEM file/],
    "with a byte order mark": [`\uFEFF${pem}`, /PEM file/],
    "with Windows line ends": [pem.replaceAll("\n", "\r\n"), /PEM file/],
    "exported from PKCS#12": [`Bag Attributes\n    localKeyID: 01\nx = y\n${pem}`, /PEM file/],
    "with a comment": [`# our key\n\n${pem}`, /PEM file/],
    "indented": [pem.replaceAll(/^/gm, "  "), /PEM file/],
    "quoted in a mail": [pem.replaceAll(/^/gm, "> "), /PEM file/],
    "on one line": [pem.replaceAll("\n", ""), /PEM file/],
    "without its first line": [pem.slice(pem.indexOf("\n") + 1), /PEM file/],
    "without its last line": [pem.slice(0, -27), /PEM file/],
    "of OpenSSH": [pem.replaceAll("PRIVATE", "OPENSSH PRIVATE"), /PEM file/],
    "base64 alone": [KEY.repeat(20), /not a configuration file/],
    "base64 with padding": [`${KEY.repeat(3)}abc==\n`, /./],
    "a passphrase": ["VJTUt9Us8cKj\n", /expected KEY = VALUE/],
    "DER": ["0\uFFFD\u0004\uFFFD\u0002\u0001\u0000\u0000MIIEvQ", /binary data/],
    "random bytes": ["\uFFFD\uFFFDMIIEvQ\uFFFD\uFFFD = \uFFFD", /binary data/],
    "UTF-16": [[..."\uFFFD\uFFFDworkers = 2\n"].join("\0"), /UTF-16/],
    "nothing": ["", /no settings/],
    "blanks": [" \t\r\n\n", /no settings/],
    "comments": ["# workers = 2\n  # backend\n", /no settings/],
    "another program's": [
      "listen 443 ssl;\nlocation x\nproxy_pass y;\n",
      /not a configuration file/,
    ],
  };
  for (const [kind, [text, message]] of Object.entries(kinds)) {
    for (const dialect of dialects) {
      const problems = problemsOf(["--config=F", "a.pem"], { dialect, files: { F: text } });
      if (dialect === "stud") assert.match(problems[0]!, message, kind);
      assert.equal(problems.length, 1, `${kind}: ${problems.join("\n")}`);
      assert.match(problems[0]!, /F/, kind);
      assert.doesNotMatch(problems.join(), /MIIE|VJTU|abc==|9Us8/, kind);
    }
  }
});

test("a key of many letters is answered at once", () => {
  const [fault] = faultsOf(`${"a".repeat(50_000)}1a = 1\n`, "stud");
  assert.match(fault!, /this word is not a key/);
});

test("a comment may show a PEM section", () => {
  assert.deepEqual(faultsOf(`# -----BEGIN PRIVATE KEY-----\nworkers = 2\n`, "stud"), []);
});

test("no error shows a password that a value contains", () => {
  const url = "rediss://user:hunter2@h:1/0";
  const names = [...namesIn("line", "stud").keys()];
  for (const dialect of dialects) {
    for (const name of names) {
      for (const value of [url, "https://user:hun ter2@h", "user:hunter2@h:80", "user:hunter2@h"]) {
        const argv = [`--${name}=${value}`, "-t", "a.pem"];
        let lines: readonly string[];
        try {
          const command = parse(argv, { dialect });
          lines = "problems" in command ? [...command.problems, ...command.warnings] : [];
          if (command.kind === "help") continue;
        } catch (error) {
          assert.ok(error instanceof UsageError);
          lines = error.problems;
        }
        assert.doesNotMatch(lines.join("\n"), /hun ?ter2/, `${dialect} ${argv.join(" ")}`);
      }
    }
    const others = [
      ["--ticket-stor", url],
      ["--password", "hunter2", "--test"],
      [`--password=hunter2`],
      [`--rediss://user:hunter2@h`],
      [url],
      ["-b", url],
      ["help", url],
    ];
    for (const argv of others) {
      const shown = problemsOf(argv, { dialect });
      assert.ok(shown.length > 0, argv.join(" "));
      assert.doesNotMatch(shown.join(), /hunter2/, argv.join(" "));
    }
  }
});

test("a path cannot be a URL with a password", () => {
  for (const option of ["--pem-dir", "--chroot", "--user", "--log-filename", "--pem-file"]) {
    const problems = problemsOf([`${option}=https://u:hunter2@h/x`, "a.pem"]);
    assert.deepEqual(problems, [
      `${option}: "https://h/x" is not a value of this option; remove it`,
    ]);
  }
});

test("what a configuration file would set is not missing where it was given to a wrong option", () => {
  for (const option of ["-c", "-f", "-n"]) {
    for (const dialect of ["stud", "hitch"] as const) {
      const problems = problemsOf([option, "stud.conf"], { dialect });
      assert.equal(problems.length, 1, problems.join("\n"));
    }
  }
});

test("an option in the wrong place is explained", () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [["-c", "stud.conf"], /^--ciphers: .* \(-c means --ciphers\); .*--config=stud\.conf$/],
    [["-c/etc/stud/stud"], /^--ciphers: .*--config=\/etc\/stud\/stud$/],
    [["-f", "stud.cfg"], /^--frontend: .*; to read a configuration file, use --config=stud\.cfg$/],
    [["-n", "stud.conf"], /^--workers: .*; to read a configuration file, use --config=stud\.conf$/],
    [["-config", "stud.conf"], /^-config has only one hyphen; write --config$/],
    [["-backend=x"], /^-backend has only one hyphen; write --backend$/],
    [["-test"], /^-test has only one hyphen; write --test$/],
    [["\u2014test"], /^"\u2014test" starts with a dash that is not a hyphen; type/],
    [["\u2013t"], /starts with a dash that is not a hyphen/],
    [["-p", "443"], /^--pidfile: "443" looks like a port, .* --frontend=\*,443; .*write \.\/443$/],
    [["-l", "0.0.0.0:443"], /^--log-filename: "0\.0\.0\.0:443" looks like a port/],
    [["--cert=a.pem"], /^--cert is not an option; give the PEM file as an argument/],
    [["--key", "a.key"], /^--key is not an option; put the key into the PEM file/],
    [["--listen=443"], /^--listen is not an option; use --frontend$/],
    [["--upstream=x"], /^--upstream is not an option; use --backend$/],
    [["--alpn-protos=h2 http/1.1"], /separate names with commas: h2,http\/1\.1$/],
    [["--alpn-protos=h2;http/1.1"], /separate names with commas: h2,http\/1\.1$/],
    [["--alpn-protos=h2:http/1.1"], /separate names with commas: h2,http\/1\.1$/],
    [["--idle-timeout=5m"], /^--idle-timeout: "5m" .*; use seconds without a unit: 300$/],
    [["--drain-timeout=1.5s"], /; use seconds without a unit: 1\.5$/],
    [["--session-timeout=500ms"], /; use seconds without a unit: 0\.5$/],
    [["--write-proxy=v2"], /^--write-proxy: .*; for version 2 use --write-proxy-v2$/],
    [["--new-ticket-secret"], /^--new-ticket-secret: it prints a secret .* standard output/],
    [
      ["-l/x.pem", "/x.pem"],
      /^--log-filename: \/x\.pem is also given as a PEM file; choose another/,
    ],
    [["--user="], /^--user: it is empty; is a variable not set\? Give a value, or remove the opt/],
    [["-r", ""], /^--chroot: it is empty/],
    [["-l/x", "-p/x"], /^--pidfile: \/x is also given as --log-filename; choose another path$/],
  ];
  for (const [argv, message] of cases) {
    const problems = problemsOf([...argv, "a.pem"]);
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0]!, message);
  }
});

test("every remedy for another program's option names one of ours", () => {
  const names = namesIn("line", "stud");
  for (
    const typed of ["port", "listen", "verbose", "threads", "ca", "crl", "connect", "protocols"]
  ) {
    const [, name] = /^use --([a-z-]+)/.exec(foreignRemedy(typed)!)!;
    assert.ok(names.has(name!), typed);
    assert.ok(!names.has(typed), `${typed} is an option here`);
  }
  assert.equal(foreignRemedy("constructor"), undefined);
});

test("--new-ticket-secret can be given in both dialects", () => {
  assert.equal(parse(["--new-ticket-secret", "--compat=hitch"]).kind, "new-ticket-secret");
});

test("what an unknown option was meant to set is not reported as missing", () => {
  for (const argv of [["--bakend=x"], ["--pem=a"], ["--cert", "a.pem"], ["-config", "F"]]) {
    assert.equal(problemsOf(argv).length, 1, argv.join(" "));
  }
});

test("a line of a file that is written as elsewhere is explained", () => {
  const cases: Readonly<Record<string, RegExp>> = {
    'backend = "127.0.0.1,80': /^F:1:11: backend: expected a " at the end of the value$/,
    'backend = 127.0.0.1,80"': /^F:1:11: backend: expected a " in front of the value$/,
    "user = 'nobody": /^F:1:8: user: expected a ' at the end of the value$/,
    'alpn-protos = "h2, http/1.1': /^F:1:15: alpn-protos: expected a " at the end of the value$/,
    "user = \u201cnobody\u201d": /^F:1:8: user: these are typographic quotes; use " instead$/,
    "backend: 127.0.0.1,80": /^F:1:1: expected KEY = VALUE; write = after backend$/,
    "backend 127.0.0.1,80": /^F:1:1: expected KEY = VALUE; write = after backend$/,
    "--backend = 127.0.0.1,80": /^F:1:1: expected KEY = VALUE; write backend without the hyphens/,
    "log_level = 2": /^F:1:1: log_level is not a key; did you mean log-level\?$/,
    "[stud]": /^F:1:1: expected KEY = VALUE; there are no sections here; remove/,
    "daemon": /^F:1:1: expected KEY = VALUE; daemon needs a value$/,
  };
  for (const [line, message] of Object.entries(cases)) {
    const problems = faultsOf(`${line}\nworkers = 1\n`, "stud");
    assert.equal(problems.length, 1, problems.join("\n"));
    assert.match(problems[0]!, message);
  }
  assert.deepEqual(faultsOf("user = 'nobody' # x\nalpn-protos = 'h2, http/1.1'\n", "stud"), []);
});

test("a missing quote does not show the following lines", () => {
  const text = 'backend = "[a]:1\nticket-store = rediss://u:hunter2@h\nhunter2 = "x" { }\n';
  const problems = faultsOf(text, "hitch").join("\n");
  assert.match(problems, /F:1:11: backend: the value spans several lines; put a " at its end/);
  assert.doesNotMatch(problems, /hunter2@|rediss/);
});

test("a setting that one source gives twice is one warning that names both places", () => {
  const warnings = (argv: string[], F = "", G = "") => start(argv, { files: { F, G } }).warnings;
  assert.deepEqual(warnings(["-b", "[a]:1", "-q", "-b", "[b]:1"]), [
    "--backend: given twice, in argument 1 and argument 4; the last value applies",
  ]);
  assert.deepEqual(warnings(["--config=F"], "workers = 1\nuser = x\nworkers = 2\n"), [
    "F:3:11: workers: given twice, in line 1 and line 3; the last value applies",
  ]);
  const block = 'frontend = {\nport = "1"\nhost = "a"\nport = "2" }';
  assert.deepEqual(warnings(["--config=F"], block), [
    "F:4:8: port: given twice, in line 2 and line 4; the last value applies",
  ]);
  assert.equal(warnings(["--config=F"], "workers = 1\nworkers = 2\n".repeat(50)).length, 21);
  // Meant: the same value, another source, several values.
  assert.deepEqual(
    warnings(["-q", "-q", "-n2", "--config=F", "-fa,1", "-fa,2"], "workers = 1"),
    [],
  );
  assert.deepEqual(warnings(["--config=F", "--config=G"], "workers = 1", "workers = 2"), []);
  const hitch = start(["-n2", "-n3"], { dialect: "hitch" });
  assert.equal(hitch.config.workers, 3);
  assert.match(hitch.warnings.join(), /^--workers: given twice/);
  const printed = parse(["--default-config", "-n2", "-n3"]);
  assert.ok(printed.kind === "default-config" && printed.warnings.length === 1);
});

test("values that have an unexpected effect are a warning", () => {
  const warning = (argv: string[], files = {}) => start(argv, { files }).warnings.join("\n");
  for (const name of ["http2", "http/2", "H2"]) {
    const expected = `--alpn-protos: clients do not offer "${name}"; did you mean h2?`;
    assert.equal(warning([`--alpn-protos=${name}`]), expected);
  }
  assert.match(warning(["--alpn-protos=h2,HTTP/1.1"]), /; did you mean http\/1\.1\?$/);
  assert.equal(warning(["--alpn-protos=h2, http/1.1,http/1.0,acme-tls/1"]), "");
  assert.match(warning(["-n", "1000"]), /^--workers: 1000 workers share .+core/);
  assert.match(warning(["--config=F"], { F: "workers = 1000" }), /^F:1:11: workers: 1000 workers/);
  assert.equal(warning(["-n", "2"]), "");
});

test("a file of CAs or CRLs that verifies nobody is refused", () => {
  const lines = (argv: string[], setting = {}) => problemsOf([...argv, "a.pem"], setting);
  const open = /^--client-verify-ca: without client-verify everybody can connect; add/;
  assert.match(lines(["--client-verify-ca=x"]).join("\n"), open);
  assert.match(lines(["--client-verify-crl=x"]).join("\n"), /^--client-verify-crl: without/);
  assert.equal(lines(["--client-verify-ca=x", "--client-verify-crl=y"]).length, 1);
  assert.match(lines(["--client-verify-ca=x"], { build: deno }).join("\n"), open);
  const inHitch = lines(["--client-verify-ca=x"], { dialect: "hitch" }).join("\n");
  assert.match(inHitch, /^Invalid parameter 'client-verify-ca': without client-verify everybody/);
  assert.match(
    lines(["--client", "--client-verify-ca=x"], { dialect: "hitch" }).join("\n"),
    /without client-verify the backend is not verified/,
  );
  assert.deepEqual(lines(["--client-verify-ca=x", "--client-verify=none"]), []);
  assert.deepEqual(lines(["--client-verify-ca=x", "--client-verify=optional"]), []);
  assert.deepEqual(lines(["--client", "--client-verify-ca=x"]), []);
  const inFile = (text: string) => faultsOf(text, "hitch").join("\n");
  const frontend = (inside: string) => `frontend = { port = "1" ${inside} }\n`;
  const own = 'client-verify-ca = "x"';
  assert.match(inFile(frontend(own)), /F:1:44: client-verify-ca: without client-verify every/);
  assert.match(
    inFile(`client-verify = none\n${frontend(own)}`),
    /F:2:44: .*: without client-verify/,
  );
  assert.match(inFile(`${own}\nworkers = 1`), /F:1:20: client-verify-ca: without client-verify/);
  assert.match(
    inFile(`pem-file = { cert = "a" ${own} }`),
    /F:1:44: client-verify-ca: without client-verify they are not used for this certificate/,
  );
  assert.equal(inFile(frontend(`client-verify = none ${own}`)), "");
  assert.equal(inFile(`client-verify = optional\n${own}\n${frontend(own)}`), "");
  // The global CAs are those of the frontends and certificates that name none.
  assert.equal(inFile(`${own}\n${frontend("client-verify = required")}`), "");
});

test("all files of CAs and CRLs are in the configuration, also unused ones", () => {
  const text = `client-verify = none client-verify-ca = "g" client-verify-crl = "l"
    frontend = { port = "1" client-verify = required client-verify-ca = "f" }
    pem-file = { cert = "c" client-verify = none client-verify-ca = "p" }`;
  const { config } = start(["--config=F"], { files: { F: text } });
  assert.deepEqual(config.trustFiles, {
    authorities: ["/etc/stud/g", "/etc/stud/f", "/etc/stud/p"],
    lists: ["/etc/stud/l"],
  });
});

test("a word that is meant for another option is no file for the access log", () => {
  const cases: readonly (readonly [word: string, message: RegExp])[] = [
    ["stdout", /^--access-log: "stdout" is not a file; for standard output, use -; for a file of /],
    ["json", /^--access-log: "json" is a form, not a file; use --access-log-format=json beside a /],
    ["off", /^--access-log: "off" is not a file; name one, or use "" for no access log; for a /],
    ["8443", /^--access-log: "8443" looks like a port, not a file; /],
  ];
  for (const [word, message] of cases) {
    const [problem, ...others] = problemsOf(["--access-log", word, "x.pem"]);
    assert.match(problem!, message);
    assert.deepEqual(others, []);
  }
  for (const word of ["./json", "syslog", "-", "/var/log/off", ""]) {
    assert.doesNotThrow(() => parse(["--access-log", word, "x.pem"]));
  }
});
