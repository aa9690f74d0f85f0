import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import * as runtime from "#runtime";
import { UsageError } from "../../src/base/errors.ts";
import { createPidFile, inheritPidFile } from "../../src/system/pid_file.ts";
import type { Libc } from "../../src/os/libc.ts";
import { runTask, systemChild, temporaryDirectory } from "../support/system.ts";
import { until } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };

function newPath(): string {
  return join(temporaryDirectory(), "stud.pid");
}

/** Returns the one line of a refusal. */
function refusal(path: string, dialect: "stud" | "hitch"): string {
  let line = "";
  assert.throws(() => createPidFile(libc, path, dialect), (error) => {
    line = (error as Error).message;
    return error instanceof UsageError;
  });
  return line;
}

test("contains the pid without a newline, readable for all, and is removed", () => {
  const path = newPath();
  const file = createPidFile(libc, path, "stud");
  assert.equal(readFileSync(path, "utf8"), String(process.pid));
  assert.equal(statSync(path).mode & 0o777, 0o644);
  file.remove();
  assert.ok(!existsSync(path));
});

test("is refused while another process holds it, with that pid", limit, async () => {
  const path = newPath();
  const { child, facts: { pid } } = await runTask<{ pid: number }>(["pid-file", path]);
  assert.equal(
    refusal(path, "stud"),
    `--pidfile: cannot use ${path}: File exists, process ${pid} holds it; stop that process first`,
  );
  assert.equal(
    refusal(path, "hitch"),
    `FATAL: Could not open pid (-p) file (${path}): File exists, process ${pid} holds it`,
  );
  assert.equal(readFileSync(path, "utf8"), String(pid));
  child.kill("SIGKILL");
  await once(child, "exit");
  // It could not remove its file, which nobody holds now.
  createPidFile(libc, path, "stud").remove();
});

const python = spawnSync("python3", ["--version"]).status === 0;

test("its lock conflicts with that of fcntl, which hitch uses", {
  ...limit,
  skip: python ? false : "needs Python",
}, async () => {
  const path = newPath();
  await runTask(["pid-file", path]);
  const { status } = spawnSync("python3", [
    "-c",
    "import fcntl,sys\ntry: fcntl.lockf(open(sys.argv[1],'r+'), fcntl.LOCK_EX|fcntl.LOCK_NB)\n" +
    "except OSError: sys.exit(7)",
    path,
  ]);
  assert.equal(status, 7);
});

test("a longer previous number is overwritten completely", () => {
  const path = newPath();
  writeFileSync(path, "12345678901234567890\n");
  const file = createPidFile(libc, path, "hitch");
  assert.equal(readFileSync(path, "utf8"), String(process.pid));
  file.remove();
});

test("only our own file is removed", () => {
  const path = newPath();
  const file = createPidFile(libc, path, "stud");
  renameSync(path, `${path}.old`);
  writeFileSync(path, "1");
  file.remove();
  assert.equal(readFileSync(path, "utf8"), "1");
});

test("an unusable path is refused in one line", () => {
  const directory = temporaryDirectory();
  const missing = join(directory, "missing", "stud.pid");
  assert.equal(
    refusal(missing, "hitch"),
    `FATAL: Could not open pid (-p) file (${missing}): No such file or directory`,
  );
  const folder = join(directory, "folder");
  mkdirSync(folder);
  assert.match(refusal(folder, "stud"), /^--pidfile: cannot use .*: .*; choose another path$/);
  const target = join(directory, "target");
  writeFileSync(target, "precious");
  const link = join(directory, "link");
  symlinkSync(target, link);
  assert.match(refusal(link, "stud"), /symbolic link/);
  assert.equal(readFileSync(target, "utf8"), "precious");
});

test("a FIFO is refused and not read", () => {
  const path = join(temporaryDirectory(), "fifo");
  spawnSync("mkfifo", [path]);
  const words = [...systemChild.slice(1), "pid-file", path];
  const { status, stderr } = spawnSync(systemChild[0]!, words, {
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.equal(status, 1, stderr);
  assert.ok(
    stderr.includes(`--pidfile: cannot use ${path}: Not a regular file; choose another path`),
    stderr,
  );
});

test("a file that cannot be removed gives up its lock and says so", () => {
  const directory = temporaryDirectory();
  const [link, real] = [join(directory, "link"), join(directory, "real")];
  mkdirSync(real);
  symlinkSync(real, link);
  const path = join(link, "stud.pid");
  const file = createPidFile(libc, path, "stud");
  // A link to itself: nothing below it can be removed, by root neither.
  symlinkSync(link, `${link}.new`);
  renameSync(`${link}.new`, link);
  assert.throws(
    () => file.remove(),
    (error) =>
      error instanceof UsageError &&
      error.message.startsWith(`--pidfile: cannot remove ${path}: Too many `),
  );
  createPidFile(libc, join(real, "stud.pid"), "stud").remove();
});

/** Says when it has begun to read, and whenever it finds nothing. */
const READER = `$| = 1; print "reading\\n";
  while (open(my $file, "<", $ARGV[0])) { print "empty\\n" unless defined <$file> }`;

test("it is never empty while one pid replaces another", limit, async () => {
  const path = newPath();
  const file = createPidFile(libc, path, "stud");
  const reader = spawn("perl", ["-e", READER, path], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  reader.stdout.setEncoding("utf8").on("data", (text: string) => said += text);
  const ended = once(reader, "close");
  await until(() => said.includes("reading"), "a reader");
  const other = openSync(path, "r+");
  const zero = Buffer.from("0");
  for (let i = 0; i < 3000; i++) {
    writeSync(other, zero, 0, 1, 0);
    file.write();
  }
  closeSync(other);
  assert.equal(readFileSync(path, "utf8"), String(process.pid));
  // It exits when the file no longer exists.
  file.remove();
  await ended;
  assert.doesNotMatch(said, /empty/);
});

test("an inherited file is ours while it contains our pid", () => {
  const path = newPath();
  const made = createPidFile(libc, path, "stud");
  writeFileSync(path, "1");
  const inherited = inheritPidFile(libc, made)!;
  assert.equal(readFileSync(path, "utf8"), "1", "not before it is written");
  inherited.write();
  assert.equal(readFileSync(path, "utf8"), String(process.pid));
  writeFileSync(path, "1");
  assert.match(refusal(path, "stud"), /process 1 holds it/);
  inherited.remove();
  assert.equal(readFileSync(path, "utf8"), "1", "it is a successor's by now");
});

test("a replaced file is not inherited", () => {
  const path = newPath();
  const file = createPidFile(libc, path, "stud");
  renameSync(path, `${path}.old`);
  assert.equal(inheritPidFile(libc, file), undefined);
  writeFileSync(path, "1");
  assert.equal(inheritPidFile(libc, file), undefined);
});
