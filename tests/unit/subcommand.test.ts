import assert from "node:assert/strict";
import { test } from "node:test";
import { commandRows, helpText } from "../../src/options/help.ts";
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
    [
      ["keepalve"],
      'help: no command is called "keepalve", and no option has it in its name; did you mean keepalive?',
    ],
    [
      ["statsu"],
      'help: no command is called "statsu", and no option has it in its name; did you mean status?',
    ],
    [
      ["--", "-zz"],
      'help: no command is called "-zz", and no option has it in its name; stud help shows all of them',
    ],
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

/** What a command of the table was given. */
function given(...argv: string[]): unknown {
  const command = parse(argv);
  assert.ok(command.kind === "subcommand", argv.join(" "));
  return command.given;
}

test("the commands have options of their own, with parsed values", () => {
  assert.deepEqual(given("status"), {});
  assert.deepEqual(given("status", "--json", "--admin=/run/x"), {
    json: true,
    admin: { path: "/run/x" },
  });
  assert.deepEqual(given("top", "--admin", "[::1]:9000", "--interval", "0.5"), {
    admin: { host: "::1", port: 9000 },
    interval: 0.5,
  });
  assert.deepEqual(given("reload", "--no-wait"), { wait: false });
  assert.deepEqual(given("reload", "--wait", "--pidfile=a", "--timeout=3", "--"), {
    wait: true,
    pidfile: "a",
    timeout: 3,
  });
});

test("a mistake in a command's line is one line, with exit code 2", () => {
  const help = (name: string) => `; run stud ${name} --help`;
  const cases: [argv: string[], problem: string][] = [
    [["status", "x"], `status: "x" is one argument too many${help("status")}`],
    [["status", "--", "--json"], `status: "--json" is one argument too many${help("status")}`],
    [["status", "--jsom"], "status: --jsom is not an option of this command; did you mean --json?"],
    [
      ["status", "--no-json"],
      `status: --no-json is not an option of this command${help("status")}`,
    ],
    [["status", "-x"], `status: -x is not an option of this command${help("status")}`],
    [["top", "--wait"], `top: --wait is not an option of this command${help("top")}`],
    [["status", "--json=1"], "status: --json takes no value; remove the = and what follows it"],
    [["status", "--admin"], `status: --admin needs an argument ADDRESS${help("status")}`],
    [["status", "--admin="], `status: --admin needs an argument ADDRESS${help("status")}`],
    [
      ["status", "--admin.x=1"],
      "status: --admin.x=1 is not an option of this command; did you mean --admin?",
    ],
    [
      ["status", "--admin=9000"],
      'status: --admin: "9000" is not an address; write HOST,9000 or [HOST]:9000',
    ],
    [
      ["reload", "--timeout=0"],
      'reload: --timeout: "0" is not a positive number; use seconds, ' +
      "as in 30 or 0.5",
    ],
    [
      ["status", "--\x1b[31m"],
      'status: "--\\u001b[31m" is not an option of this command' +
      help("status"),
    ],
  ];
  for (const [argv, problem] of cases) {
    assert.deepEqual(problemsOf(argv), [problem]);
    assert.throws(() => parse(argv), { code: 2 });
  }
  assert.equal(problemsOf(["status", "--a", "--b", "c"]).length, 2);
});

test("each command has its help, in 80 columns, which names all of its options", () => {
  for (const [name, { options, summary }] of commandRows()) {
    const command = parse([name, "--help"]);
    assert.deepEqual(command, parse(["help", name]));
    assert.deepEqual(command, parse([name, "-h"]));
    for (const option of ["--help", "-h"]) assert.deepEqual(command, parse([option, name]));
    assert.deepEqual(
      parse(["--help", "--compat=hitch", name]),
      parse(["--help", "--compat=hitch"]),
    );
    assert.ok(command.kind === "help");
    assert.ok(command.text.startsWith(`Usage: stud ${name} [OPTIONS]`));
    for (const line of command.text.split("\n")) assert.ok(line.length <= 80, line);
    for (const option of Object.keys(options)) assert.ok(command.text.includes(option), option);
    assert.match(helpText("stud"), new RegExp(`^ {2}${name} {2,}${summary.slice(0, 20)}`, "m"));
    assert.doesNotMatch(helpText("hitch"), new RegExp(`^ {2}${name} `, "m"));
  }
});

test("a PEM file with the name of a command is given as a path, or in hitch's dialect", () => {
  for (const [name] of commandRows()) {
    for (const argv of [[`./${name}`], ["-n1", name], ["--", name], ["--compat=hitch", name]]) {
      assert.equal(parse(argv).kind, "run");
    }
    assert.equal(parse([name], { dialect: "hitch" }).kind, "run");
  }
});
