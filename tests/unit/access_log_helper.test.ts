/** The master's end of the access log's helpers. */
import { test } from "node:test";
import assert from "node:assert/strict";
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
  kills = 0;
  hasExited = false;
  /** Not even the kernel can end it. */
  isStuck = false;

  send({ type }: AccessLogCommand): void {
    this.commands.push(type);
  }

  kill(): void {
    this.kills++;
    if (!this.isStuck) this.exit(null, "SIGKILL");
  }

  exit(code: number | null, signal: "SIGKILL" | null = null): void {
    if (this.hasExited) return;
    this.hasExited = true;
    this.onExit({ code, signal });
  }
}

interface Parts {
  readonly log: AccessLog;
  readonly processes: readonly FakeProcess[];
  readonly events: readonly string[];
  readonly clock: HandClock;
  readonly messages: readonly string[];
  lost(): number;
}

/** An access log in a file that only helpers would open; it has begun unless `opens` is false. */
async function withLog(run: (parts: Parts) => Promise<void> | void, opens = true): Promise<void> {
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
    { output: "/nowhere/access.log", dialect: "stud", facility: "daemon" },
    "",
  );
  if (opens) processes[0]!.onEvent({ type: "ready" });
  try {
    await run({ log, processes, events, clock, messages, lost: () => lost });
  } finally {
    const stopped = log.stop();
    clock.advance(1000);
    clock.advance(1000);
    await stopped;
  }
}

test("the first helper opens the file, and the master waits for it only for a while", async () => {
  const failures: [(parts: Parts) => void, string][] = [
    [
      ({ clock, processes: [first] }) => {
        clock.advance(20_000);
        first!.onEvent({ type: "opening" });
        clock.advance(5000);
      },
      "cannot open /nowhere/access.log: it takes more than 5 s; check its disk; choose another path",
    ],
    [
      ({ clock }) => clock.advance(60_000),
      "cannot open /nowhere/access.log: the helper that opens it does not start in time; choose " +
      "another path",
    ],
    [
      ({ processes: [first] }) =>
        first!.onEvent({ type: "failed", cause: "Permission denied", isLog: false }),
      "cannot open /nowhere/access.log: Permission denied; choose another path",
    ],
    [
      ({ processes: [first] }) => first!.onEvent({ type: "failed", cause: "", isLog: true }),
      "/nowhere/access.log is also given as --log-filename; choose another path",
    ],
    [
      ({ processes: [first] }) => first!.kill(),
      "its helper ended (signal SIGKILL); the log may say why",
    ],
  ];
  for (const [fail, problem] of failures) {
    await withLog(async (parts) => {
      const [first] = parts.processes;
      fail(parts);
      await assert.rejects(parts.log.opened, { message: `--access-log: ${problem}` });
      assert.equal(first!.kills, 1);
      parts.clock.advance(60_000);
      assert.deepEqual([first!.commands, parts.processes.length], [["start"], 1]);
    }, false);
  }
  await withLog(async ({ log, processes: [first], clock }) => {
    first!.onEvent({ type: "ready" });
    await log.opened;
    clock.advance(60_000);
    assert.deepEqual([first!.commands, first!.kills], [["start", "begin"], 0]);
  }, false);
});

test("a file that hangs when it is opened again holds up nothing, nor does a helper at a stop", async () => {
  await withLog(({ log, processes, clock }) => {
    log.reopen();
    const [old] = processes;
    assert.deepEqual(old!.commands, ["start", "begin", "check"]);
    old!.onEvent({ type: "moved" });
    // It never gets ready: the old one goes on.
    processes[1]!.isStuck = true;
    clock.advance(3_600_000);
    log.reopen();
    old!.onEvent({ type: "moved" });
    assert.equal(processes.length, 2);
    assert.deepEqual(old!.commands, ["start", "begin", "check"]);
  });
});

test("a helper that ends before it is ready leaves the old one at work, and is tried again", async () => {
  await withLog(async ({ log, processes, events, clock }) => {
    const [old] = processes;
    old!.onEvent({ type: "moved" });
    processes[1]!.kill();
    assert.deepEqual(old!.commands, ["start", "begin"]);
    assert.deepEqual(events, ["access-log-not-reopened"]);
    // Not each second, but at once if a signal asks for it.
    old!.onEvent({ type: "moved" });
    assert.equal(processes.length, 2);
    clock.advance(10_000);
    old!.onEvent({ type: "moved" });
    processes[2]!.onEvent({ type: "failed", cause: "Is a directory", isLog: false });
    processes[2]!.onExit({ code: 1, signal: null });
    assert.deepEqual(events, ["access-log-not-reopened"]);
    log.reopen();
    old!.onEvent({ type: "moved" });
    const next = processes[3]!;
    next.onEvent({ type: "ready" });
    assert.deepEqual(old!.commands, ["start", "begin", "check", "end"]);
    old!.onExit({ code: 0, signal: null });
    await Promise.resolve();
    await Promise.resolve();
    assert.deepEqual(next.commands, ["start", "begin"]);
    assert.equal(processes.length, 4);
  });
});

test("if the old helper has ended too, another one starts after a second", async () => {
  await withLog(({ processes, events, clock }) => {
    processes[0]!.onEvent({ type: "moved" });
    processes[0]!.kill();
    processes[1]!.kill();
    assert.deepEqual(events, ["access-log-exited"]);
    clock.advance(1000);
    assert.deepEqual(processes[2]!.commands, ["start", "begin"]);
    // It cannot open the file: this is logged once, and tried again each second.
    for (const place of [2, 3]) {
      processes[place]!.onEvent({ type: "failed", cause: "Is a directory", isLog: false });
      processes[place]!.onExit({ code: 1, signal: null });
      clock.advance(1000);
    }
    assert.deepEqual(events, ["access-log-exited", "access-log-not-reopened"]);
    assert.equal(processes.length, 5);
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
  await withLog(({ log, processes, events }) => {
    const failing = () => {
      for (let i = 0; i < 2; i++) {
        log.reopen();
        processes[0]!.onEvent({ type: "moved" });
        processes.at(-1)!.exit(1);
      }
    };
    failing();
    log.reopen();
    processes[0]!.onEvent({ type: "ready" });
    failing();
    assert.deepEqual(events, ["access-log-not-reopened", "access-log-not-reopened"]);
  });
});
