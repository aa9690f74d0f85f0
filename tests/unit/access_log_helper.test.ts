/** The master's end of the access log's helpers. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessLog } from "../../src/access_log/access_log.ts";
import type { AccessLogCommand, AccessLogEvent } from "../../src/access_log/messages.ts";
import type { AccessLogProcess } from "../../src/access_log/writer.ts";
import type { ProcessExit } from "../../src/control/child_process.ts";
import { HandClock } from "../support/hand_clock.ts";
import { libc } from "#runtime";

class FakeProcess implements AccessLogProcess {
  onEvent: (event: AccessLogEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly commands: string[] = [];
  hasExited = false;

  send({ type }: AccessLogCommand): void {
    this.commands.push(type);
  }

  kill(): void {
    this.exit(null, "SIGKILL");
  }

  exit(code: number | null, signal: "SIGKILL" | null = null): void {
    if (this.hasExited) return;
    this.hasExited = true;
    this.onExit({ code, signal });
  }
}

async function withLog(
  run: (parts: {
    readonly log: AccessLog;
    readonly processes: readonly FakeProcess[];
    readonly events: readonly string[];
    readonly clock: HandClock;
    readonly output: string;
    readonly messages: readonly string[];
    lost(): number;
    rotate(): void;
  }) => Promise<void> | void,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "stud-access-log-"));
  const output = join(directory, "access.log");
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const events: string[] = [];
  const messages: string[] = [];
  let lost = 0;
  const log = new AccessLog(
    {
      libc,
      clock,
      spawn: () => {
        processes.push(new FakeProcess());
        return processes.at(-1)!;
      },
      log({ event, message }) {
        events.push(event);
        messages.push(message);
      },
      lost: (lines) => lost += lines,
    },
    { output, dialect: "stud", facility: "daemon" },
    "",
  );
  try {
    const rotate = () => renameSync(output, `${output}.1`);
    await run({ log, processes, events, clock, output, messages, lost: () => lost, rotate });
  } finally {
    const stopped = log.stop();
    clock.advance(1000);
    await stopped;
    rmSync(directory, { recursive: true });
  }
}

test("a helper that ends before it is ready leaves the old one at work, and is tried again", async () => {
  await withLog(async ({ log, processes, events, rotate }) => {
    rotate();
    log.reopen();
    const [old, failed] = processes;
    failed!.kill();
    assert.deepEqual(old!.commands, ["start", "begin"]);
    assert.deepEqual(events, ["access-log-not-reopened"]);
    old!.onEvent({ type: "moved" });
    const next = processes[2]!;
    next.onEvent({ type: "ready" });
    assert.deepEqual(old!.commands, ["start", "begin", "end"]);
    old!.onExit({ code: 0, signal: null });
    await Promise.resolve();
    await Promise.resolve();
    assert.deepEqual(next.commands, ["start", "begin"]);
    assert.equal(processes.length, 3);
  });
});

test("if the old helper has ended too, another one starts after a second", async () => {
  await withLog(({ log, processes, events, clock, rotate }) => {
    rotate();
    log.reopen();
    processes[0]!.kill();
    processes[1]!.kill();
    assert.deepEqual(events, ["access-log-exited"]);
    clock.advance(1000);
    assert.deepEqual(processes[2]!.commands, ["start", "begin"]);
    processes[2]!.onExit({ code: 0, signal: null });
  });
});

test("a helper that dies while workers of an older configuration write is replaced", async () => {
  await withLog(({ log, processes, events, clock }) => {
    let hasEnded = false;
    log.onEnd = () => hasEnded = true;
    log.retire();
    processes[0]!.kill();
    clock.advance(1000);
    assert.deepEqual(events, ["access-log-exited"]);
    assert.deepEqual(processes[1]!.commands, ["start", "begin"]);
    assert.ok(!hasEnded);
    // Their last worker has exited.
    processes[1]!.exit(0);
    assert.ok(hasEnded);
  });
});

test("what a helper has left unread at a stop is counted", async () => {
  for (const how of ["is killed", "has ended"]) {
    await withLog(async ({ log, processes, clock, events, messages, lost }) => {
      const lines = Buffer.from("one\ntwo\nthree\n");
      libc.write(log.pipe, lines, lines.length);
      if (how === "has ended") processes[0]!.kill();
      const stopped = log.stop();
      clock.advance(1000);
      await stopped;
      assert.equal(lost(), 3, how);
      assert.equal(events.at(-1), "access-log-dropped");
      assert.match(
        messages.at(-1)!,
        how === "is killed"
          ? /was killed: they are lost, and so are 3 more, which it had not read$/
          : /^3 lines of the access log were lost: its helper had ended$/,
      );
    });
  }
});

test("losses that were not yet reported are reported at a stop", async () => {
  await withLog(async ({ log, processes, clock, messages, lost }) => {
    const [helper] = processes;
    for (const lines of [1, 10, 100]) helper!.onEvent({ type: "lost", lines, cause: "disk full" });
    const stopped = log.stop();
    helper!.exit(0);
    await stopped;
    clock.advance(60_000);
    assert.deepEqual(messages, [
      "1 line of the access log was lost: they cannot be written: disk full",
      "110 lines of the access log were lost: they cannot be written: disk full",
    ]);
    assert.equal(lost(), 111);
  });
});

test("a rotation that fails again after the file was back is logged again", async () => {
  await withLog(({ log, events, output, rotate }) => {
    const failing = () => {
      rotate();
      mkdirSync(output);
      log.reopen();
      log.reopen();
      rmdirSync(output);
      renameSync(`${output}.1`, output);
    };
    failing();
    log.reopen();
    failing();
    assert.deepEqual(events, ["access-log-not-reopened", "access-log-not-reopened"]);
  });
});
