/** The command line of `stud check`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseTarget } from "../../src/check/target.ts";
import { subcommandOf } from "../../src/options/subcommands.ts";
import { namesIn } from "../../src/options/table.ts";
import { parse, problemsOf } from "../support/parse.ts";

test("every usual form of a server is accepted", () => {
  const cases: readonly (readonly [string, string, string | undefined])[] = [
    ["example.com", "example.com:443", "example.com"],
    ["Example.com.:8443", "Example.com.:8443", "example.com"],
    ["example.com,8443", "example.com:8443", "example.com"],
    ["example.com:https", "example.com:443", "example.com"],
    ["192.0.2.1", "192.0.2.1:443", undefined],
    ["192.0.2.1:1", "192.0.2.1:1", undefined],
    ["[::1]:443", "[::1]:443", undefined],
    ["[2001:db8::1]", "[2001:db8::1]:443", undefined],
    ["2001:db8::1", "[2001:db8::1]:443", undefined],
    ["::1,8443", "[::1]:8443", undefined],
    [":8443", "localhost:8443", "localhost"],
    ["https://example.com/", "example.com:443", "example.com"],
    ["HTTPS://[::1]:8443/a?b=c:d#e", "[::1]:8443", undefined],
    ["Bücher.example:8443", "xn--bcher-kva.example:8443", "xn--bcher-kva.example"],
    ["/run/x.sock", "unix:/run/x.sock", undefined],
    ["unix:/run/x.sock", "unix:/run/x.sock", undefined],
  ];
  for (const [given, text, name] of cases) {
    const target = parseTarget(given);
    assert.deepEqual([target.text, target.name], [text, name], given);
    assert.equal(target.isHttp, /^https:/i.test(given));
    assert.equal(target.hasUnusedPath, given.includes("/a?b"), given);
  }
});

test("other forms are refused in one line", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /the address is empty; use HOST:PORT/],
    ["http://a/", /"http:\/\/a\/" is no https:\/\/ URL; use HOST:PORT/],
    ["https://user:secret@a/", /has a user or a password/],
    ["a:99999", /Invalid port number "99999"/],
    ["a:", /Invalid port number ""/],
    ["*:443", /means every address/],
    ["exa mple.com", /is not a host/],
    ["1.2.3.4.5", /is not an IP address/],
    ["[::1", /./],
    ["::1:20443", /with a port, write \[::1\]:20443$/],
    ["bü cher.example", /is not a host/],
    [`${"a".repeat(300)}.test`, /is not a host/],
  ];
  for (const [given, pattern] of cases) {
    assert.throws(() => parseTarget(given), (error: Error) => {
      assert.equal(error.name, "UsageError", given);
      assert.match(error.message, pattern, given);
      return !error.message.includes("\n") && !error.message.includes("secret");
    });
  }
});

test("the options have parsed values, and bad ones are refused", () => {
  const words = ["check", "--servername=A.test", "--alpn=h2, x", "--timeout=0.5", "a:1"];
  const command = parse([...words, "--certificate-warning-days", "30", "--json", "--ca=x"]);
  assert.ok(command.kind === "subcommand");
  assert.equal(command.argument, "a:1");
  assert.deepEqual(command.given, {
    ...{ servername: "a.test", alpn: ["h2", "x"], timeout: 0.5, ca: "x", json: true },
    "certificate-warning-days": 30,
  });
  const empty = parse(["check", "--alpn=", "--servername=", "a"]);
  assert.ok(empty.kind === "subcommand");
  assert.deepEqual(empty.given, { alpn: [], servername: "" });
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["--timeout=0"], /--timeout: "0" is not a positive number/],
    [["--servername=a b"], /--servername: "a b" is not a name/],
    [["--alpn=ä"], /--alpn: "ä" is not a list of protocols/],
    [["--ca="], /--ca needs an argument FILE/],
    [["--certificate-warning-days=x"], /"x" is not a whole number/],
    [["--jsn"], /--jsn is not an option of this command; did you mean --json/],
    [["b"], /"b" is one argument too many/],
  ];
  for (const [words, pattern] of cases) {
    const problems = problemsOf(["check", "a", ...words]);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, pattern);
  }
  assert.match(problemsOf(["check"])[0]!, /an argument HOST\[:PORT\] is missing/);
});

test("the remedies name only options that exist", () => {
  const own = Object.keys(subcommandOf("check").options);
  const directory = fileURLToPath(new URL("../../src/check", import.meta.url));
  const named = readdirSync(directory).flatMap((file) => [
    ...readFileSync(join(directory, file), "utf8").matchAll(/(?<=[ "(])--([a-z][a-z-]+)/g),
  ]).map(([, name]) => name!);
  assert.ok(named.length > 10, "found the remedies");
  const known = [...namesIn("line", "stud").keys(), ...own];
  assert.deepEqual(named.filter((name) => !known.includes(name)), []);
});
