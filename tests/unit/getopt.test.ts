import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../src/errors.ts";
import { getopt } from "../../src/options/getopt.ts";

/** The command line in short: `name=value` for each option, then the positionals. */
function read(...argv: string[]): string[] {
  const { given, positionals } = getopt(argv);
  return [...given.map(({ name, value }) => `${name}=${value}`), ...positionals];
}

function refused(argv: string[], message: string | RegExp): void {
  assert.throws(() => getopt(argv), (error) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.message, /run stud --help$/);
    assert.doesNotMatch(error.message, /\n/);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
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

test("an argument takes the next word whatever it looks like", () => {
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

test("an exact name wins over longer ones, a unique prefix is enough", () => {
  assert.deepEqual(read("--tls", "--ssl"), ["tls=on", "ssl=on"]);
  assert.deepEqual(read("--write-proxy"), ["write-proxy=on"]);
  assert.deepEqual(read("--ver"), ["version=on"]);
  assert.deepEqual(read("--half=5"), ["half-close-timeout=5"]);
  refused(
    ["--write"],
    "--write is ambiguous: --write-ip, --write-proxy, --write-proxy-v2; " +
      "write one in full, or run stud --help",
  );
});

test("flags take a value only after =", () => {
  assert.deepEqual(read("--quiet", "off"), ["quiet=on", "off"]);
  assert.deepEqual(read("--write-proxy=off"), ["write-proxy=off"]);
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

test("an unknown option names the nearest one", () => {
  refused(
    ["--wrokers=2"],
    "--wrokers is not an option; did you mean --workers? If not, run stud --help",
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
  refused(["--backend"], /^--backend needs an argument HOST,PORT/);
});
