import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseCommandLine } from "../../src/options/command_line.ts";
import { defaultConfig, helpText, optionTable } from "../../src/options/help.ts";
import { defaultSettings, rows } from "../../src/options/table.ts";

const build = {
  name: "bun",
  capabilities: {
    backendSource: true,
    adoptSockets: true,
    protocols: ["TLSv1.2", "TLSv1.3"],
    chooseProtocols: true,
    ciphers: true,
    preferServerCiphers: true,
    tlsFacts: true,
    remembersNames: false,
  },
} as const;

/** The assignments in a configuration file as words of a command line. */
function words(config: string): string[] {
  return [...config.matchAll(/^([a-z0-9-]+) = "(.*)"$/gm)].map(([, key, value]) =>
    `--${key}=${value}`
  );
}

function configOf(argv: string[]): string {
  const command = parseCommandLine([...argv, "--default-config"], build);
  assert.ok(command.kind === "default-config");
  return command.text;
}

test("no short letter is used twice", () => {
  const letters = rows.flatMap(([, option]) => option.short ?? []);
  assert.deepEqual(letters, [...new Set(letters)]);
});

test("help shows every option in 80 columns", () => {
  const help = helpText();
  for (const [name] of rows) assert.match(help, new RegExp(`--${name}\\b`));
  for (const line of help.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(help, /^ {2}-n, --workers N\|auto {2,}Worker processes/m);
  assert.match(help, /Default: \[\*\]:8443\./);
});

test("a configuration file has each setting once, after its help", () => {
  const config = defaultConfig(defaultSettings());
  const keys = [...config.matchAll(/^(?:# )?([a-z0-9-]+) = "/gm)].map(([, key]) => key);
  const settings = rows.filter(([, option]) => option.parse).map(([name]) => name);
  assert.deepEqual(keys, settings);
  assert.match(config, /^# Where the decrypted bytes go\.\nbackend = "\[127\.0\.0\.1\]:8000"$/m);
  assert.match(config, /^# tls-protos = ""$/m);
  for (const line of config.split("\n")) assert.match(line, /^(# .+|[a-z0-9-]+ = "[^"]*")?$/);
});

test("a configuration file says what the command line said", () => {
  const lines = [
    [],
    ["-q", "--ssl", "--write-ip", "-b", "::1,80"],
    ["--tls-protos=TLSv1.3", "-L2", "-n7", "--write-proxy-v2"],
  ];
  for (const argv of lines) {
    const again = words(configOf(argv));
    assert.deepEqual(
      parseCommandLine([...again, "a.pem"], build),
      parseCommandLine([...argv, "a.pem"], build),
    );
  }
  assert.match(configOf(["--ssl"]), /^tls = "off"$/m);
  assert.match(configOf(["-q"]), /^quiet = "on"$/m);
});

test("the README holds the table of options", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const [, table] = /<!-- options -->\n([^]*?)\n<!-- \/options -->/.exec(readme) ?? [];
  assert.equal(table, optionTable(), "refresh it with: node scripts/readme.ts");
});

test("a pipe in an argument does not split the table", () => {
  assert.match(optionTable(), /^\| `-n, --workers N\\\|auto` \| `auto` \| Worker/m);
});
