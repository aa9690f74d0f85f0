import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, problemsOf } from "../support/parse.ts";

/** The options that `stud help` shows. */
function options(...words: string[]): string[] {
  const command = parse(["help", ...words]);
  assert.ok(command.kind === "help");
  return [...command.text.matchAll(/^ {2}(?:-\w, | {4})--([a-z0-9-]+)/gm)].map(([, name]) => name!);
}

test("stud help prints the same as --help, and with words only matching options", () => {
  assert.deepEqual(parse(["help"]), parse(["--help"]));
  assert.deepEqual(options("KEEPALIVE"), ["keepalive"]);
  assert.deepEqual(options("443", "pin", "session resumption").slice(-2), [
    "shared-cache-if",
    "pin-workers",
  ]);
  assert.deepEqual(options("write-proxy", "--compat=hitch"), ["write-proxy-v1", "write-proxy-v2"]);
  assert.deepEqual(options("--compat", "stud", "write-proxy"), ["write-proxy", "write-proxy-v2"]);
});

test("an unknown word or option of stud help is refused in one line", () => {
  const cases: [words: string[], problem: string][] = [
    [["keepalve"], 'help: no option has "keepalve" in its name; did you mean keepalive?'],
    [["--", "-zz"], 'help: no option has "-zz" in its name; stud help shows all of them'],
    [["--compat"], '--compat: "" is not a dialect; use stud or hitch'],
    [["--compat=x"], '--compat: "x" is not a dialect; use stud or hitch'],
    ...["-n", "--nope=1", "--compat.x=1", "--__proto__=1", "--no-compat"].map(
      (word): [string[], string] => [
        [word],
        `help: ${word} is not an option of this command; use --compat, and words without dashes`,
      ],
    ),
  ];
  for (const [words, problem] of cases) assert.deepEqual(problemsOf(["help", ...words]), [problem]);
});

test("help is a command only as the first argument, and only in stud's dialect", () => {
  for (const argv of [["./help"], ["-n1", "help"], ["--", "help"], ["--compat=hitch", "help"]]) {
    assert.equal(parse(argv).kind, "run");
  }
  assert.equal(parse(["help"], { dialect: "hitch" }).kind, "run");
});
