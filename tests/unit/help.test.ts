import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { manPage } from "../../scripts/man_page.ts";
import { defaultConfig } from "../../src/options/default_config.ts";
import { helpText, optionTable } from "../../src/options/help.ts";
import { defaultSettings, isIn, namesIn, namesOf, rows } from "../../src/options/table.ts";
import { deno, node, parse, start } from "../support/parse.ts";

const dialects = ["stud", "hitch"] as const;

test("no short letter is used twice", () => {
  const letters = rows.flatMap(([, option]) => option.short ?? []);
  assert.deepEqual(letters, [...new Set(letters)]);
});

test("no name is used for two options", () => {
  for (const dialect of dialects) {
    const names = rows.flatMap(([name]) => namesOf(name, dialect));
    assert.deepEqual(names, [...new Set(names)]);
  }
});

test("both dialects accept the same names on the command line", () => {
  const [stud, hitch] = dialects.map((dialect) => [...namesIn("line", dialect).keys()].sort());
  assert.deepEqual(stud, hitch);
});

test("help shows every option in 80 columns", () => {
  for (const dialect of dialects) {
    const help = helpText(dialect);
    for (const [name, option] of rows) {
      if (!isIn(option, "line")) continue;
      const [shown] = namesOf(name, dialect);
      assert.match(help, new RegExp(`--${shown}[, .\n]`), name);
    }
    for (const line of help.split("\n")) assert.ok(line.length <= 80, line);
  }
  assert.match(helpText("stud"), /^ {2}-n, --workers N\|auto {2,}Worker processes/m);
  assert.match(helpText("stud"), /^ {6}--write-proxy {2,}.* version 1/m);
  assert.match(helpText("hitch"), /^Usage: hitch /);
});

test("a configuration file has each setting once, after its help", () => {
  for (const dialect of dialects) {
    const config = defaultConfig(defaultSettings(dialect), dialect);
    const keys = [...config.matchAll(/^(?:# )?([a-z0-9-]+) = /gm)].map(([, key]) => key);
    const settings = rows
      .filter(([, option]) => isIn(option, "file"))
      .map(([name]) => namesOf(name, dialect)[0]);
    assert.deepEqual(keys, settings);
    assert.match(config, /^# .*\.\nworkers = "?auto"?$/m);
    assert.match(config, /^# tls-protos = TLSv1\.2 TLSv1\.3$/m);
  }
});

test("the default configuration file changes nothing, as a whole and line by line", () => {
  for (const dialect of dialects) {
    for (const build of [node, deno]) {
      const command = parse(["--default-config"], { dialect, build });
      assert.ok(command.kind === "default-config");
      const withoutFile = start([], { dialect, build });
      const lines = command.text.split("\n").filter((line) => /^[a-z]/.test(line));
      assert.ok(lines.length > 40);
      for (const text of [command.text, ...lines]) {
        const setting = { dialect, build, files: { F: text } };
        const { config, warnings } = start(["--config", "F"], setting);
        assert.deepEqual(config, withoutFile.config, text);
        assert.deepEqual(warnings, withoutFile.warnings, text);
      }
    }
  }
});

test("--default-config preserves the command line's settings", () => {
  const lines = [
    ["-q", "--ssl", "--write-ip", "-b[::1]:80"],
    ["--tls-protos=TLSv1.3", "-L2", "-n7", "--write-proxy-v2", "--alpn-protos=h2, http/1.1"],
    ["-f", "[a]:1", "-f", "[b]:2+/b.pem", "--ocsp-resp-tmo=0.5", "--pem-file=/x.pem"],
    ["--accept-proxy", "--trusted-proxies=10.0.0.0/8 ::1", "-f/run/x", "-b@y", "--user=u v"],
    ["--client", "--client-verify=required", "--client-verify-ca=/ca", "--backend-name=x.test"],
  ];
  for (const dialect of dialects) {
    for (const argv of lines) {
      const command = parse([...argv, "--default-config"], { dialect });
      assert.ok(command.kind === "default-config");
      assert.deepEqual(
        start(["--config", "F"], { dialect, files: { F: command.text } }).config,
        start(argv, { dialect }).config,
      );
    }
  }
});

test("--default-config preserves frontend blocks", () => {
  const text = `frontend = { host = "a" port = "1" tls-protos = TLSv1.2 match-global-certs = on
    pem-file = "/a.pem" pem-file = { cert = "/b.crt" private-key = "/b.key" } }`;
  const setting = { files: { F: text } };
  const command = parse(["--config", "F", "--default-config"], setting);
  assert.ok(command.kind === "default-config");
  const again = start(["--config", "F"], { files: { F: command.text } });
  assert.deepEqual(again.config, start(["--config", "F"], setting).config);
});

test("the README's table of options is up to date", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, table] = /<!-- options -->\n([^]*?)\n<!-- \/options -->/.exec(readme) ?? [];
  assert.equal(table, optionTable(), "refresh it with: node scripts/readme.ts");
});

test("a pipe in an argument does not split the table", () => {
  assert.match(optionTable(), /^\| `-n, --workers N\\\|auto` \| `auto` \| Worker/m);
});

test("the manual page is up to date and names every option", () => {
  const page = readFileSync(new URL("../../stud.8", import.meta.url), "utf8");
  assert.equal(page, manPage(), "refresh it with: node scripts/man.ts");
  const plain = page.replaceAll("\\-", "-");
  for (const [name, option] of rows) {
    const shown = isIn(option, "line") ? `--${namesOf(name, "stud")[0]}` : `"${name} = "`;
    assert.ok(plain.includes(shown), name);
  }
});
