import assert from "node:assert/strict";
import { test } from "node:test";
import { getopt } from "../../src/options/getopt.ts";

/** Summarizes a command line: `name=value` for each option, then the positionals. */
function read(...argv: string[]): string[] {
  const { given, positionals, problems } = getopt(argv, "stud");
  assert.deepEqual(problems, []);
  return [...given.map(({ name, value }) => `${name}=${value}`), ...positionals];
}

function refused(argv: string[], message: string | RegExp): void {
  const { problems } = getopt(argv, "stud");
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /; /, "it says what to do");
  if (typeof message === "string") assert.equal(problems[0], message);
  else assert.match(problems[0]!, message);
}

test("a value is attached or is the next word", () => {
  for (const argv of [["-n4"], ["-n", "4"], ["--workers=4"], ["--workers", "4"], ["--wor", "4"]]) {
    assert.deepEqual(read(...argv), ["workers=4"]);
  }
  assert.deepEqual(read("-n="), ["workers=="]);
  assert.deepEqual(read("--ciphers="), ["ciphers="]);
  assert.deepEqual(read("--ciphers", ""), ["ciphers="]);
  assert.deepEqual(read("--ciphers=a=b"), ["ciphers=a=b"]);
});

test("an option with an argument takes the next word, whatever it is", () => {
  assert.deepEqual(read("-c", "-ALL"), ["ciphers=-ALL"]);
  assert.deepEqual(read("--ciphers", "--quiet"), ["ciphers=--quiet"]);
  assert.deepEqual(read("-c", "--", "a.pem"), ["ciphers=--", "a.pem"]);
  assert.deepEqual(read("--config", "-"), ["config=-"]);
  assert.deepEqual(read("-c", "1e3"), ["ciphers=1e3"]);
  assert.deepEqual(read("-c", "a\nb"), ["ciphers=a\nb"]);
});

test("short options are bundled", () => {
  assert.deepEqual(read("-qO"), ["quiet=on", "prefer-server-ciphers=on"]);
  assert.deepEqual(read("-qn4"), ["quiet=on", "workers=4"]);
  assert.deepEqual(read("-qn", "4", "x"), ["quiet=on", "workers=4", "x"]);
  assert.deepEqual(read("-sr/x"), ["syslog=on", "chroot=/x"]);
});

test("an exact name wins over longer ones; a unique prefix is enough", () => {
  assert.deepEqual(read("--tls", "--ssl"), ["tls=on", "ssl=on"]);
  assert.deepEqual(read("--write-proxy"), ["write-proxy-v1=on"]);
  assert.deepEqual(read("--ver"), ["version=on"]);
  assert.deepEqual(read("--half=5"), ["half-close-timeout=5"]);
  refused(
    ["--write"],
    "--write is ambiguous: --write-ip, --write-proxy, --write-proxy-v1, --write-proxy-v2; " +
      "write the name in full",
  );
});

test("a flag accepts a value only after =", () => {
  assert.deepEqual(read("--quiet", "off"), ["quiet=on", "off"]);
  assert.deepEqual(read("--write-proxy=off"), ["write-proxy-v1=off"]);
  refused(["--help=on"], /^--help takes no value/);
});

test("options and positionals mix, and -- ends the options", () => {
  assert.deepEqual(read("a.pem", "-q", "-", "b.pem"), ["quiet=on", "a.pem", "-", "b.pem"]);
  assert.deepEqual(read("-q", "--", "-O", "--", "7"), ["quiet=on", "-O", "--", "7"]);
  assert.deepEqual(read("", "0x10", "true"), ["", "0x10", "true"]);
  assert.deepEqual(read(), []);
});

test("the order of argv is kept, also for options given twice", () => {
  assert.deepEqual(read("-L", "2", "-q", "-L1", "--quiet=off"), [
    "log-level=2",
    "quiet=on",
    "log-level=1",
    "quiet=off",
  ]);
});

test("the error for an unknown option suggests the nearest one", () => {
  refused(
    ["--wrokers=2"],
    "--wrokers is not an option; did you mean --workers?",
  );
  refused(["--backnd"], /did you mean --backend\?/);
  refused(["--zzzzzz"], "--zzzzzz is not an option; run stud --help");
  refused(["--x\ny"], /^"--x\\ny" is not an option/);
  refused(["--=x"], /^-- is not an option/);
  refused(["-qx"], "-x is not an option; run stud --help");
  refused(["-é"], /^"-é" is not an option/);
  refused(["--__proto__=1"], /is not an option/);
  refused(["--constructor"], /is not an option/);
});

test("a missing argument is an error", () => {
  refused(["-n"], "-n needs an argument N|auto; run stud --help");
  refused(["--backend"], /^--backend needs an argument ADDRESS/);
});

test("every error is reported, and valid options are still read", () => {
  const { given, problems } = getopt(["--nope", "-q", "-xO", "--help=on", "-n"], "stud");
  assert.deepEqual(given.map(({ name }) => name), ["quiet", "prefer-server-ciphers"]);
  assert.deepEqual(problems.map((problem) => problem.split(" ")[0]), [
    "--nope",
    "-x",
    "--help",
    "-n",
  ]);
});

test("--write-proxy depends on the dialect", () => {
  assert.equal(getopt(["--write-proxy"], "stud").given[0]!.name, "write-proxy-v1");
  assert.equal(getopt(["--write-proxy"], "hitch").given[0]!.name, "write-proxy-v2");
  for (const dialect of ["stud", "hitch"] as const) {
    const { given } = getopt(["--write-proxy-v1", "--write-proxy-v2"], dialect);
    assert.deepEqual(given.map(({ name }) => name), ["write-proxy-v1", "write-proxy-v2"]);
  }
});

test("options that hitch documents but does not register are options", () => {
  const words = ["--backend-refresh=1", "--backendrefresh=1", "-R1", "--backendr=1"];
  const { given } = getopt([...words, "--ssl-engine=x", "-ex", "--session-cache=1"], "hitch");
  assert.deepEqual(
    new Set(given.map(({ name }) => name)),
    new Set(["backend-refresh", "ssl-engine", "shared-cache"]),
  );
});

test("hitch's own text comes first in its dialect", () => {
  assert.deepEqual(getopt(["--wrokers=2"], "hitch").problems, [
    "Invalid command line parameters. Run hitch --help for instructions. " +
    "--wrokers is not an option; did you mean --workers?",
  ]);
});
