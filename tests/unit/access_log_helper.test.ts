/** The master's end of the access log's helpers. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
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

  send({ type }: AccessLogCommand): void {
    this.commands.push(type);
  }

  kill(): void {
    this.onExit({ code: null, signal: "SIGKILL" });
  }
}

async function withLog(
  run: (parts: {
    readonly log: AccessLog;
    readonly processes: readonly FakeProcess[];
    readonly events: readonly string[];
    readonly clock: HandClock;
    rotate(): void;
  }) => Promise<void> | void,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "stud-access-log-"));
  const output = join(directory, "access.log");
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const events: string[] = [];
  const log = new AccessLog(
    {
      libc,
      clock,
      spawn: () => {
        processes.push(new FakeProcess());
        return processes.at(-1)!;
      },
      log: ({ event }) => events.push(event),
      lost: () => {},
    },
    { output, dialect: "stud", facility: "daemon" },
    "",
  );
  try {
    await run({ log, processes, events, clock, rotate: () => renameSync(output, `${output}.1`) });
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
