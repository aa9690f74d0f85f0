/** What the program prints about itself and about a configuration. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Behaviour, Context } from "../support/context.ts";
import { runStud } from "../support/stud.ts";

const RUNTIMES = { bun: /Bun \d+\.\d+/, deno: /Deno \d+\.\d+/, node: /Node\.js \d+\.\d+/ };
const TLS_LIBRARIES = { bun: /BoringSSL/, deno: /rustls/, node: /OpenSSL \d/ };

export const usage: readonly Behaviour[] = [
  {
    name: "--test checks everything and reports that it looks ok",
    async run(context) {
      const { code, stdout, stderr } = await runStud(context.target, [
        "-t",
        context.certificates.localhost,
      ]);
      assert.equal(stdout, "stud configuration looks ok.\n");
      if (process.getuid!() !== 0) assert.equal(stderr, "");
      assert.equal(code, 0);
    },
  },
  {
    name: "--test finds an unusable PEM file",
    async run(context) {
      const { code, stderr } = await runStud(context.target, ["-t", context.certificates.ca]);
      assert.match(stderr, /^stud: [^\n]+\n$/);
      assert.ok(stderr.includes(context.certificates.ca), stderr);
      assert.equal(code, 1);
    },
  },
  {
    name: "--version names stud, the runtime and the TLS library",
    async run(context) {
      const output = await prints(context, "-V");
      assert.match(output, /^stud \d+\.\d+\.\d+/);
      assert.match(output, RUNTIMES[context.target.runtime]);
      assert.match(output, TLS_LIBRARIES[context.target.runtime]);
    },
  },
  {
    name: "--help lists the options",
    async run(context) {
      const output = await prints(context, "--help");
      for (const option of ["-f", "--frontend", "-b", "--backend", "--write-proxy-v2", "--demo"]) {
        assert.ok(output.includes(option), `no ${option}`);
      }
    },
  },
  {
    name: "stud help shows the options with a given word in their names",
    async run(context) {
      const output = await prints(context, "help", "keepalive");
      assert.match(output, /^ {2}-k, --keepalive SECONDS /m);
      assert.doesNotMatch(output, /--backlog/);
    },
  },
  {
    name: "every way to ask for the help of a command prints it, and an unknown word is one line",
    async run(context) {
      const help = await prints(context, "help", "status");
      assert.match(help, /^Usage: stud status \[OPTIONS\]\n/);
      for (const words of [["status", "--help"], ["status", "-h"], ["--help", "status"]]) {
        assert.equal(await prints(context, ...words), help);
      }
      assert.match(await prints(context, "help", "top"), /^Usage: stud top \[OPTIONS\]\n/);
      assert.equal(await prints(context, "help"), await prints(context, "--help"));
      const { code, stdout, stderr } = await runStud(context.target, ["help", "nonsense"]);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, /^stud: help: no command is called "nonsense", .*; .*\n$/);
    },
  },
  {
    name: "output that cannot be written is an error",
    async run(context) {
      const actions = ["--help", "--version", "--default-config", "--new-ticket-secret"];
      const { localhost } = context.certificates;
      for (
        const words of [...actions.map((action) => [action]), ["help", "tls"], ["-t", localhost]]
      ) {
        const command = ["bash", "-c", 'exec "$@" >/dev/full', "bash", ...context.target.command];
        const { code, stderr } = await runStud({ ...context.target, command }, words);
        assert.equal(code, 1, words.join(" "));
        assert.match(
          stderr,
          /stud: standard output: No space left on device; the output is incomplete/,
          words.join(" "),
        );
      }
    },
  },
  {
    name: "a warning that cannot be written changes no result",
    async run(context) {
      const command = ["bash", "-c", 'exec "$@" 2>/dev/full', "bash", ...context.target.command];
      const words = ["--test", "-n2", "-n1", context.certificates.localhost];
      const { code, stdout } = await runStud({ ...context.target, command }, words);
      assert.equal(stdout, "stud configuration looks ok.\n");
      assert.equal(code, 0);
      assert.equal((await runStud({ ...context.target, command }, ["--nonsense"])).code, 1);
    },
  },
  {
    name: "a reader that takes a part of the output gets no error",
    async run(context) {
      const script = 'set -o pipefail; "$@" --help | head -n 1';
      const command = ["bash", "-c", script, "bash", ...context.target.command];
      const { stdout, stderr } = await runStud({ ...context.target, command }, []);
      assert.match(stdout, /^Usage: stud [^\n]+\n$/);
      assert.equal(stderr, "");
    },
  },
  {
    name: "--default-config prints a configuration",
    async run(context) {
      const output = await prints(context, "--default-config");
      assert.match(output, /^backend = /m);
      assert.match(output, /^#/m);
    },
  },
  {
    name: "neither files in the working directory nor the runtime's variables affect an executable",
    appliesTo: ({ name }) => name === "dist-stud" || name === "dist-stud-node",
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "intrusive-"));
      const intruder = join(directory, "intruder.cjs");
      writeFileSync(intruder, 'console.log("intruder");');
      writeFileSync(join(directory, "bunfig.toml"), `preload = ["${intruder}"]`);
      writeFileSync(join(directory, ".env"), `NODE_OPTIONS=--require=${intruder}`);
      const script = `cd ${directory}; NODE_OPTIONS=--require=${intruder} exec "$@"`;
      const command = ["bash", "-c", script, "bash", ...context.target.command];
      const { code, stdout } = await runStud({ ...context.target, command }, ["-V"]);
      assert.match(stdout, /^stud [^\n]+\n$/);
      assert.equal(code, 0);
    },
  },
];

async function prints(context: Context, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runStud(context.target, words);
  assert.equal(stderr, "");
  assert.equal(code, 0);
  return stdout;
}
