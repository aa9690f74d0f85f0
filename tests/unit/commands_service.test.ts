import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { argumentsOf, findService, type Service } from "../../src/commands/service.ts";
import { UsageError } from "../../src/base/errors.ts";
import { until } from "../support/until.ts";

const directory = mkdtempSync(join(tmpdir(), "stud-find-"));
const children: ReturnType<typeof spawn>[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true });
});

const nowhere = { pidFiles: [join(directory, "no.pid")], socket: join(directory, "no.sock") };

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** A process with the name and the command line of a stud; returns its pid file. */
async function running(name: string, ...argv: string[]): Promise<string> {
  const program = join(directory, name, "stud");
  mkdirSync(join(directory, name));
  // A shell that waits, with the name of its file and the words behind its script.
  copyFileSync("/bin/sh", program);
  const child = spawn(program, ["-c", "while read -r _; do :; done", ...argv], {
    cwd: directory,
    stdio: ["pipe", "ignore", "ignore"],
  });
  children.push(child);
  // The kernel sets the name before the command line.
  const words = () => readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith(program);
  await until(words, "the process has its command line");
  return file(`${name}.pid`, `${child.pid}\n`);
}

function problem(action: () => Service): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.problems.length, 1);
    return error.problems[0]!;
  }
  throw new assert.AssertionError({ message: "no error" });
}

test("--admin is used as it is, with the token of --admin-token-file", () => {
  const token = file("token", " s3cret\n");
  const admin = { host: "192.0.2.1", port: 9000 };
  assert.deepEqual(findService({ admin, "admin-token-file": token }), {
    address: admin,
    token: "s3cret",
    origin: "--admin",
  });
  for (const text of ["", "two words", "a\x01b"]) {
    const bad = file("bad", text);
    assert.match(
      problem(() => findService({ admin, "admin-token-file": bad })),
      /it is not a token of visible|it is empty/,
    );
  }
  assert.match(
    problem(() => findService({ admin, "admin-token-file": "/missing" })),
    /^\/missing: it does not exist/,
  );
  assert.match(
    problem(() => findService({ admin, pidfile: "x" })),
    /^--admin and --pidfile: each of them chooses the endpoint; give only one of them$/,
  );
});

test("--config uses the endpoint and the token of a file in either grammar", () => {
  file("token", "s3cret");
  const cases: [text: string, service: Partial<Service>][] = [
    ['admin = "/run/a.sock"\n', { address: { path: "/run/a.sock" } }],
    ['admin = "@name"\nbackend = "b,1"\n', { address: { path: "@name" } }],
    ['admin = "*,9000"\n', { address: { host: "127.0.0.1", port: 9000 } }],
    ['admin = "[::]:9000"\n', { address: { host: "::1", port: 9000 } }],
    ['frontend = { host = "*" port = "1" }\nadmin = "[localhost]:9"', {
      address: { host: "localhost", port: 9 },
    }],
    [`admin = "127.0.0.1,9"\nadmin-token-file = "${directory}/token"\n`, {
      address: { host: "127.0.0.1", port: 9 },
      token: "s3cret",
    }],
    // Mistakes elsewhere are no business of this command.
    ['workers = many\nnonsense = 1\nadmin = "/run/a.sock"\n', { address: { path: "/run/a.sock" } }],
  ];
  for (const [text, service] of cases) {
    const config = file("conf", text);
    assert.deepEqual(findService({ config }), { ...service, origin: config }, text);
  }
  const config = file("conf", 'backend = "b,1"\n');
  assert.equal(
    problem(() => findService({ config })),
    `--config: ${config}: it does not set admin; add it, or give --admin`,
  );
  assert.match(problem(() => findService({ config: "/missing" })), /^--config: \/missing: it does/);
  const wrong = file("conf", 'admin = "9000"\n');
  assert.match(
    problem(() => findService({ config: wrong })),
    /conf: admin: "9000" is not an address; write HOST,9000/,
  );
});

test("--pidfile uses the command line of the process, and the files it names", async () => {
  file("relative.conf", 'admin = "/run/from-file.sock"\n');
  const pidfile = await running("named", "--config", "relative.conf", "-n2", "site.pem");
  const pid = Number(readFileSync(pidfile, "utf8"));
  assert.deepEqual(findService({ pidfile }), {
    address: { path: "/run/from-file.sock" },
    pid,
    origin: pidfile,
  });
  const overridden = await running("later", "--config=relative.conf", "--admin=/run/later.sock");
  assert.deepEqual(findService({ pidfile: overridden }).address, { path: "/run/later.sock" });
  const without = await running("without", "site.pem");
  assert.equal(findService({ pidfile: without }).address, undefined);
  const unreadable = await running("unreadable", "--config=missing.conf");
  assert.match(
    findService({ pidfile: unreadable }).problem!,
    /^--config: missing\.conf: it does not exist/,
  );
  const own = file("own.pid", String(process.pid));
  assert.equal(
    problem(() => findService({ pidfile: own })),
    `--pidfile: ${own}: process ${process.pid} is not a running stud; start it, or check the path`,
  );
  const text = file("text.pid", "-1");
  assert.match(problem(() => findService({ pidfile: text })), /its contents are not a pid; check/);
});

test("without an option the default pid files are tried, and then the default socket", async () => {
  assert.equal(
    problem(() => findService({}, nowhere)),
    `no running stud was found: neither ${
      nowhere.pidFiles[0]
    } nor ${nowhere.socket} leads to one; ` +
      "start stud with --admin=/run/stud/admin.sock, or give --admin, --config or --pidfile",
  );
  const socket = file("default.sock", "");
  const stale = file("stale.pid", String(process.pid));
  assert.deepEqual(findService({}, { pidFiles: [stale], socket }), {
    address: { path: socket },
    origin: "the default socket",
  });
  const found = await running("default", "--admin=/run/x.sock");
  assert.deepEqual(
    findService({}, { pidFiles: [stale, found], socket }).address,
    { path: "/run/x.sock" },
  );
  const without = await running("plain", "site.pem");
  const pid = Number(readFileSync(without, "utf8"));
  assert.equal(findService({}, { ...nowhere, pidFiles: [without] }).pid, pid);
});

test("the user's arguments follow the program, or the script that a runtime runs", () => {
  const cases: [words: string[], argv: string[], dialect?: "hitch"][] = [
    [["/usr/bin/stud", "-n1", "a.pem"], ["-n1", "a.pem"]],
    [["stud"], []],
    [["/usr/sbin/hitch", "a.js"], ["a.js"], "hitch"],
    [["bun", "mod.ts", "-n1"], ["-n1"]],
    [["/x/node", "--flag", "/y/mod.ts", "b.js"], ["b.js"]],
    [["deno", "run", "-A", "--unstable-net", "dist/stud-deno.js", "-n1"], ["-n1"]],
  ];
  for (const [words, argv, dialect = "stud"] of cases) {
    assert.deepEqual(argumentsOf(words), { dialect, argv });
  }
});
