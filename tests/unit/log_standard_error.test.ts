import { after, test } from "node:test";
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import * as runtime from "#runtime";
import type { Output } from "../../src/log/output.ts";
import { standardError } from "../../src/log/standard_error.ts";
import type { LogConfig } from "../../src/options/config.ts";
import { AF_UNIX, O_NONBLOCK, SOCK_CLOEXEC, SOCK_STREAM } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import { sockaddr } from "../../src/os/sockaddr.ts";
import { openPseudoTerminal } from "../support/pseudo_terminal.ts";
import { systemChild, temporaryDirectory } from "../support/system.ts";
import { within } from "../support/until.ts";

const libc: Libc = runtime.libc;
const limit = { timeout: 60_000 };
const LINE = Buffer.from(`${"x".repeat(999)}\n`);
/** A path that cannot be opened, as for another user's pipe. */
const NO_PATH = "/nonexistent/fd";
const children: ChildProcess[] = [];
const cleanups: (() => void)[] = [];

after(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await within(once(child, "exit"), "the end of a child");
  }
  for (const cleanup of cleanups) cleanup();
});

function opened(path: string, flags: number): number {
  const fd = openSync(path, flags);
  cleanups.push(() => closeSync(fd));
  return fd;
}

/** A pipe that nobody reads, with its blocking write end. */
function unreadPipe(): { reader: number; fd: number } {
  const path = join(temporaryDirectory(), "pipe");
  execFileSync("mkfifo", [path]);
  const reader = opened(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { reader, fd: opened(path, constants.O_WRONLY) };
}

/** A terminal after Ctrl-S. */
function stoppedTerminal(): number {
  const terminal = openPseudoTerminal(libc);
  cleanups.push(() => terminal.close());
  const fd = opened(terminal.path, constants.O_WRONLY | constants.O_NOCTTY);
  terminal.stop();
  return fd;
}

/** A stream socket that nobody reads, like the journal's if journald hangs. */
async function unreadSocket(): Promise<number> {
  const path = join(temporaryDirectory(), "socket");
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, "listening");
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const address = sockaddr({ family: "unix", path });
  assert.equal(libc.connect(fd, address, address.length), 0);
  cleanups.push(() => libc.close(fd), () => server.close());
  return fd;
}

function blocks(fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!;
  return (parseInt(flags, 8) & O_NONBLOCK) === 0;
}

/** Writes until nothing is accepted. Returns the number of bytes that were. */
function fill(output: Output): number {
  for (let bytes = 0;;) {
    const written = output.write(LINE);
    if (written === "full") return bytes;
    assert.equal(typeof written, "number");
    bytes += written as number;
  }
}

/** Runs a process that logs far more than fits to that standard error. */
async function floods(fd: number): Promise<void> {
  const config: LogConfig = { level: 1, format: "text", file: "", quiet: [], syslog: "" };
  const words = [...systemChild.slice(1), "log-flood", JSON.stringify(config)];
  const child = spawn(systemChild[0]!, words, { stdio: ["ignore", "pipe", fd] });
  children.push(child);
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (part: string) => output += part);
  const [code] = await within(once(child, "close"), "the end of a process that logs", 30_000);
  assert.deepEqual([output, code], ["logged\n", 0]);
}

test("a pipe that nobody reads blocks neither a process nor its exit", limit, async () => {
  const { reader, fd } = unreadPipe();
  await floods(fd);
  const buffer = Buffer.alloc(65536);
  assert.match(
    buffer.toString("latin1", 0, readSync(reader, buffer)),
    /^\S+Z info {2}\[\d+\] warning x+\n/,
  );
  assert.ok(blocks(fd), "other users of the pipe see no difference");
});

test("a terminal stopped by Ctrl-S blocks neither a process nor its exit", limit, async () => {
  await floods(stoppedTerminal());
});

test("a socket that nobody reads blocks neither a process nor its exit", limit, async () => {
  await floods(await unreadSocket());
});

test("a pipe that cannot be reopened does not block during a write", () => {
  const { reader, fd } = unreadPipe();
  const output = standardError(libc, fd, NO_PATH);
  const bytes = fill(output);
  assert.ok(bytes > 0);
  const buffer = Buffer.alloc(bytes + 1);
  assert.equal(readSync(reader, buffer), bytes);
  output.close();
  // Still open, as it is not the output's own.
  assert.equal(standardError(libc, fd, NO_PATH).write(LINE), LINE.length);
});

test("a terminal that cannot be reopened stays blocking for its other users", () => {
  const fd = stoppedTerminal();
  // It stops some moments after Ctrl-S.
  fill(standardError(libc, fd, NO_PATH));
  assert.ok(blocks(fd));
});

test("a regular file is written directly", () => {
  const path = join(temporaryDirectory(), "file");
  const output = standardError(libc, opened(path, constants.O_WRONLY | constants.O_CREAT));
  assert.equal(output.write(LINE), LINE.length);
  output.close();
  assert.equal(readFileSync(path, "latin1"), LINE.toString());
});
