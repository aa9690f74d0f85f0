import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { FileError, readFile } from "../../src/base/read_file.ts";
import { makeDirectory, programCommand } from "../support/certificate_files.ts";

const program = fileURLToPath(new URL("../support/read_file_child.ts", import.meta.url));

/** What a process reads that bash starts with these arguments, such as `<(command)`. */
function readInShell(words: string): string {
  const command = programCommand(program).map((word) => `'${word}'`).join(" ");
  const options = { encoding: "utf8", timeout: 60_000 } as const;
  return execFileSync("/bin/bash", ["-c", `${command} ${words}`], options).trim();
}

function makePipe(context: TestContext): string {
  const path = join(makeDirectory(context), "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

function refused(reason: RegExp, file: string, options?: Parameters<typeof readFile>[1]): void {
  assert.throws(() => readFile(file, options), (error: unknown) => {
    assert.ok(error instanceof FileError, String(error));
    assert.ok(error.message.startsWith(`${file}: `), error.message);
    assert.match(error.reason, reason);
    return true;
  });
}

test("a file is read completely, whatever size the system reports", (t) => {
  const file = join(makeDirectory(t), "file");
  for (const length of [0, 1, 16 * 1024 - 1, 16 * 1024, 100_000]) {
    const bytes = Buffer.alloc(length, "abc");
    writeFileSync(file, bytes);
    assert.deepEqual(readFile(file), bytes);
    assert.deepEqual(readFile(file, { maxBytes: length }), bytes);
  }
  // The kernel reports size 0 for this one.
  assert.match(readFile("/proc/self/status").toString(), /^Name:.*\nPid:/s);
});

test("anything but a regular file is refused at once", (t) => {
  const directory = makeDirectory(t);
  refused(/^it does not exist; check the path$/, join(directory, "none"));
  refused(/^it is a directory; specify a file in it$/, directory);
  for (const file of ["/dev/null", "/dev/zero", makePipe(t)]) {
    refused(/^it is not a regular file; specify one$/, file);
    refused(/^it is not a regular file; specify one$/, file, { also: "pipe" });
  }
  const file = join(directory, "file");
  writeFileSync(file, "");
  refused(/^a part of the path is not a directory; check the path$/, join(file, "x"));
  const loop = join(directory, "loop");
  symlinkSync(loop, loop);
  refused(/^its symbolic links lead in a circle; check the path$/, loop);
});

test("files and devices are read up to the limit only", (t) => {
  const file = join(makeDirectory(t), "huge");
  writeFileSync(file, "");
  truncateSync(file, 2 ** 40);
  refused(/^it is larger than 16777216 bytes; check that it is the right file$/, file);
  truncateSync(file, 11);
  refused(/^it is larger than 10 bytes;/, file, { maxBytes: 10 });
  refused(/^it is larger than 100000 bytes;/, "/dev/zero", { also: "stream", maxBytes: 100_000 });
  assert.equal(readFile("/dev/null", { also: "stream" }).length, 0);
});

test("a pipe that does not end is abandoned", (t) => {
  const pipe = makePipe(t);
  // A writer that never writes.
  const fd = openSync(pipe, constants.O_RDWR);
  t.after(() => closeSync(fd));
  refused(/^it did not end within 0\.1 s; specify a regular file$/, pipe, {
    also: "stream",
    limitMs: 100,
  });
});

test("a named pipe is read where streams are allowed, once it has a writer", (t) => {
  const pipe = makePipe(t);
  refused(/^the pipe is empty, and a pipe can be read only once; specify a regular file$/, pipe, {
    also: "stream",
    writerMs: 50,
  });
  const writer = spawn("/bin/sh", ["-c", `echo text >'${pipe}'`]);
  t.after(() => writer.kill("SIGKILL"));
  const options = { also: "stream", writerMs: 60_000, limitMs: 60_000 } as const;
  assert.equal(readFile(pipe, options).toString(), "text\n");
});

test("a pipe of the shell is read once, however slowly it is written", () => {
  const text = Buffer.alloc(200_000, "line\n").toString();
  const [first, second] = readInShell(
    `pipe <(head -c 100000 <(yes line); sleep 0.2; head -c 100000 <(yes line))`,
  ).split("\n");
  assert.equal(first, JSON.stringify(text));
  assert.match(
    second!,
    /^"\/dev\/fd\/\d+: the pipe is empty, .* once; specify a regular file"$/,
  );
  assert.match(readInShell("nothing <(echo text)"), /^"\/dev\/fd\/\d+: it is not a regular file; /);
});

test("a socket is refused", async (t) => {
  const path = join(makeDirectory(t), "socket");
  const server = createServer().listen(path);
  t.after(() => server.close());
  await once(server, "listening");
  for (const also of ["pipe", "stream"] as const) {
    refused(/^it is not a regular file; specify one$/, path, { also });
  }
});

const skip = process.geteuid!() === 0 && "root may read every file";

test("a file without read permission is reported with a remedy", { skip }, (t) => {
  const directory = makeDirectory(t);
  const file = join(directory, "file");
  writeFileSync(file, "");
  chmodSync(file, 0);
  refused(/^this user may not read it; check its permissions$/, file);
});
