import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Passphrases } from "../../src/certificates/passphrases.ts";
import { derToPem } from "../../src/base/pem.ts";
import { parseBundle } from "../../src/certificates/bundle.ts";
import type { OpenKey } from "../../src/certificates/keys.ts";
import type { Terminal } from "../../src/certificates/terminal.ts";
import {
  makeDirectory,
  makePem,
  openssl,
  programCommand,
  sectionOf,
} from "../support/certificate_files.ts";
import { until } from "../support/until.ts";

/** A terminal with these answers, and the questions asked there. */
function terminal(...answers: readonly (string | undefined)[]) {
  const questions: string[] = [];
  const given = answers.map((answer) => answer === undefined ? undefined : Buffer.from(answer));
  const askSecretly: Terminal["askSecretly"] = (prompt) => given[questions.push(prompt) - 1];
  return { questions, given, askSecretly };
}

function open(passphrases: Passphrases, pem: string, file = "x.pem"): string | undefined {
  return passphrases.open(Buffer.from(pem), file).type;
}

/** A key as plain text and in every encrypted form. */
function makeKeys(context: TestContext, passphrase: string) {
  const path = makePem(makeDirectory(context), "x", { key: "rsa" });
  const plain = sectionOf(path, "PRIVATE KEY");
  const out = ["-passout", `pass:${passphrase}`];
  const pkcs8 = openssl(["pkcs8", "-topk8", ...out], plain);
  const legacy = openssl(["rsa", "-traditional", "-aes256", ...out], plain);
  return { cert: sectionOf(path, "CERTIFICATE"), plain, pkcs8, legacy };
}

test("encrypted keys of both formats are decrypted to plain PKCS#8", (t) => {
  const { cert, plain, pkcs8, legacy } = makeKeys(t, "sesame");
  assert.match(pkcs8, /BEGIN ENCRYPTED PRIVATE KEY/);
  assert.match(legacy, /Proc-Type: 4,ENCRYPTED/);
  for (const key of [pkcs8, legacy, legacy.replaceAll("\n", "\r\n")]) {
    const asked = terminal("sesame");
    const passphrases = new Passphrases(asked);
    const openKey: OpenKey = (pem, file) => passphrases.open(pem, file);
    const { material } = parseBundle({ text: cert + key, file: "x.pem" }, openKey);
    assert.equal(derToPem("PRIVATE KEY", material.key), plain);
    assert.deepEqual(asked.questions, ["Passphrase for x.pem: "]);
  }
});

test("the lines of a passphrase file are tried before the terminal is asked", (t) => {
  const { pkcs8 } = makeKeys(t, "third line");
  const file = join(makeDirectory(t), "passphrases");
  for (const text of ["first\r\n\n  second\nthird line", "\ufeffthird line\r\n"]) {
    writeFileSync(file, text);
    const passphrases = new Passphrases(terminal());
    passphrases.useFile(file);
    assert.equal(open(passphrases, pkcs8), "private");
  }
});

test("a passphrase is asked for at most three times", (t) => {
  const { pkcs8 } = makeKeys(t, "sesame");
  const lucky = terminal("a", "b", "sesame");
  assert.equal(open(new Passphrases(lucky), pkcs8), "private");
  assert.match(lucky.questions[1]!, /^Wrong passphrase\. Passphrase for x\.pem: $/);
  const unlucky = terminal("a", "b", "c", "sesame");
  assert.throws(() => open(new Passphrases(unlucky), pkcs8), {
    name: "UsageError",
    message:
      /^x\.pem: the private key is encrypted, and no passphrase that was entered decrypts it[ ;]/,
  });
  assert.equal(unlucky.questions.length, 3);
});

test("a typed passphrase decrypts other keys too, until it is wiped", (t) => {
  const { pkcs8, legacy } = makeKeys(t, "sesame");
  const asked = terminal("wrong", "sesame", "sesame");
  const passphrases = new Passphrases(asked);
  assert.equal(open(passphrases, pkcs8), "private");
  assert.equal(open(passphrases, legacy, "y.pem"), "private");
  assert.equal(asked.questions.length, 2);
  passphrases.forget();
  for (const typed of asked.given.slice(0, 2)) assert.ok(typed!.every((byte) => byte === 0));
  assert.throws(() => open(passphrases, pkcs8), { name: "UsageError" });
  assert.equal(asked.questions.length, 2);
});

test("the lines of a file are wiped too", (t) => {
  const { pkcs8 } = makeKeys(t, "sesame");
  const file = join(makeDirectory(t), "passphrases");
  writeFileSync(file, "wrong\nsesame\n");
  const passphrases = new Passphrases();
  for (let load = 0; load < 2; load++) {
    passphrases.useFile(file);
    assert.equal(open(passphrases, pkcs8), "private");
    passphrases.forget();
    assert.throws(() => open(passphrases, pkcs8), { name: "UsageError" });
  }
});

test("the error for a key that cannot be decrypted says what to do", (t) => {
  const { pkcs8 } = makeKeys(t, "sesame");
  const withoutTerminal =
    /^x\.pem: .* encrypted, .* on a terminal; put its passphrase into .* --passphrase-file$/;
  for (const passphrases of [new Passphrases(), new Passphrases(terminal(undefined))]) {
    assert.throws(() => open(passphrases, pkcs8), { message: withoutTerminal });
  }
  const file = join(makeDirectory(t), "passphrases");
  writeFileSync(file, "wrong\n");
  const passphrases = new Passphrases();
  passphrases.useFile(file);
  assert.throws(() => open(passphrases, pkcs8), (error: Error) => {
    return error.message.startsWith(`x.pem: the private key is encrypted, and no line of ${file} `);
  });
  assert.throws(() => passphrases.useFile(join(file, "none")), { name: "UsageError" });
});

test("no passphrase is asked for if this build cannot decrypt the key at all", (t) => {
  const path = makePem(makeDirectory(t), "x");
  const legacy = ["-provider", "legacy", "-provider", "default"];
  const words = ["pkcs8", "-topk8", "-v1", "PBE-MD5-DES", ...legacy, "-passout", "pass:sesame"];
  const pem = openssl(words, sectionOf(path, "PRIVATE KEY"));
  const asked = terminal("sesame");
  const file = join(makeDirectory(t), "passphrases");
  writeFileSync(file, "sesame\n");
  const withFile = new Passphrases(asked);
  withFile.useFile(file);
  for (const passphrases of [new Passphrases(asked), new Passphrases(), withFile]) {
    assert.throws(() => open(passphrases, pem), {
      name: "UsageError",
      message: "x.pem: this build cannot decrypt the private key, which is encrypted with PBES1 " +
        "with MD5 and DES; encrypt it anew with: openssl pkcs8 -topk8 -v2 aes-256-cbc " +
        "-provider default -provider legacy -in x.pem -out NEW.pem",
    });
  }
  assert.deepEqual(asked.questions, []);
});

const scriptProgram = "/usr/bin/script";

function has(program: string): boolean {
  try {
    accessSync(program);
    return true;
  } catch {
    return false;
  }
}

/** Asks on a new terminal, runs `afterwards`, and prints the terminal's settings. */
function askOnTerminal(context: TestContext, afterwards = ":") {
  const program = fileURLToPath(new URL("../support/ask_terminal.ts", import.meta.url));
  const command = programCommand(program).map((word) => `'${word}'`).join(" ");
  const child = spawn(scriptProgram, [
    "-qec",
    `trap : INT; ${command}; ${afterwards}; stty -a; echo END`,
    "/dev/null",
  ]);
  let output = "";
  child.stdout.on("data", (bytes) => output += bytes);
  context.after(() => child.kill("SIGKILL"));
  return {
    type: (text: string) => child.stdin.write(text),
    shows: (text: string) => until(() => output.includes(text), `the terminal shows ${text}`),
    output: () => output,
    close: () => child.stdin.end(),
  };
}

const skip = has(scriptProgram) ? false : "needs the program script";

test("the terminal is asked without echo, which is restored afterwards", { skip }, async (t) => {
  const asking = askOnTerminal(t);
  await asking.shows("Secret? ");
  asking.type(" open \\sesame \n");
  await asking.shows("END");
  const output = asking.output();
  assert.ok(!output.includes("sesame"), output);
  const hash = createHash("sha256").update(" open \\sesame ").digest("hex");
  assert.ok(output.includes(`hash ${hash}`), output);
  assert.match(output, / echo /);
  asking.close();
});

test("Ctrl-C at the question restores the echo", { skip }, async (t) => {
  // The asking process exits too, possibly before the shell that restores it.
  const asking = askOnTerminal(t, "while stty -a | grep -q ' -echo '; do :; done");
  await asking.shows("Secret? ");
  asking.type("\x03");
  await asking.shows("END");
  assert.match(asking.output(), / echo /);
  asking.close();
});
