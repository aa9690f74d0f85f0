import { spawnSync } from "node:child_process";
import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as adapter from "#runtime";
import { type ChannelFaults, ControlledProcess } from "../../src/control/child_process.ts";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { logChannelFaults } from "../../src/log/channel_faults.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { flags } from "../support/child.ts";
import { until } from "../support/until.ts";

/** Only this build uses `offer`. */
const used = { skip: !(adapter as Runtime).capabilities.sessionCache };

const shell = { libc: adapter.libc, self: ["/bin/sh"], workerEnvironment: {} };
const noFaults: ChannelFaults = {
  protocolError: assert.fail,
  internalError: assert.fail,
  printed: assert.fail,
};

/** A frame with this body in octal, as printf(1) reads it. */
function printed(body: string): string {
  const length = Buffer.byteLength(body);
  return `\\000\\000\\${(length >> 8).toString(8)}\\${(length & 255).toString(8)}${body}`;
}

/** A process that writes this text to its master through printf(1), and then waits. */
function writing(text: string, handle: (value: unknown) => void = () => {}) {
  const entries: LogEntry[] = [];
  const log = (entry: LogEntry) => void entries.push(entry);
  const child = new ControlledProcess<never, unknown>(shell, {
    words: ["-c", 'printf "$1" >&3; exec sleep 60', "sh", text],
    parse: (value) => value === "unknown" ? undefined : value,
    faults: logChannelFaults(log, { subject: "the helper", facts: { helper: 1 } }),
  });
  const exited = new Promise((resolve) => child.onExit = resolve);
  child.onEvent = handle;
  return { child, entries, exited };
}

test(
  "a process that reads nothing is offered a limited amount, and still sent what it needs",
  used,
  async () => {
    const child = new ControlledProcess(shell, {
      words: ["-c", "exec sleep 60"],
      parse: () => undefined,
      faults: noFaults,
    });
    const ended = new Promise((resolve) => child.onExit = resolve);
    try {
      const command = "x".repeat(64 * 1024);
      const taken = Array.from({ length: 100 }, () => child.offer(command)).filter(Boolean).length;
      // The pipe's own buffer adds to the limit.
      assert.ok(taken >= 16 && taken <= 32, `${taken} of 64 KiB were taken`);
      child.send(command);
      assert.equal(child.offer(command), false);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  },
);

for (
  const [what, text, reason] of [
    ["does not follow the protocol", "GET / HTTP/1.1", /^a frame of \d+ bytes, more than 65536$/],
    ["sends what is not JSON", printed("{"), /^a frame that is not JSON$/],
    ["sends an unknown event", printed('"unknown"'), /^a malformed or unknown message/],
  ] as const
) {
  test(`a process that ${what} is killed, and one line says why`, async () => {
    const handled: unknown[] = [];
    const { child, entries, exited } = writing(
      printed('"good"') + text + printed('"late"'),
      (value) => handled.push(value),
    );
    assert.deepEqual(await exited, { code: null, signal: "SIGKILL" });
    assert.deepEqual(handled, ["good"]);
    assert.equal(entries.length, 1);
    const { level, event, message, facts } = entries[0]!;
    assert.deepEqual([level, event, facts.helper], ["error", "protocol-error", 1]);
    assert.match(String(facts.cause), reason);
    assert.equal(
      message,
      `the helper sent ${facts.cause}, which is not the control protocol; killed pid ${child.pid}`,
    );
  });
}

test("an exception in the master's handler is logged, and the channel continues", async () => {
  const handled: unknown[] = [];
  const { child, entries, exited } = writing(
    printed('"first"') + printed('"second"'),
    (value) => {
      handled.push(value);
      if (value === "first") throw new Error("a fault of ours");
    },
  );
  await until(() => handled.length === 2, "both events");
  assert.deepEqual(handled, ["first", "second"]);
  assert.deepEqual(entries.map(({ event }) => event), ["internal-error"]);
  assert.match(entries[0]!.message, /a fault of ours/);
  process.kill(child.pid!, 0);
  child.kill("SIGTERM");
  assert.deepEqual(await exited, { code: null, signal: "SIGTERM" });
});

test("what a process prints to standard error is logged line by line, within bounds", async () => {
  const entries: LogEntry[] = [];
  const child = new ControlledProcess<never, unknown>(shell, {
    words: ["-c", 'printf "one\\n\\ntwo\\033[m\\n" >&2; printf %09999d 0 >&2; exec sleep 60 2>&-'],
    parse: () => undefined,
    faults: logChannelFaults((entry) => void entries.push(entry), {
      subject: "the helper",
      facts: { helper: 1 },
    }),
  });
  const ended = new Promise((resolve) => child.onExit = resolve);
  await until(() => entries.length === 3, "three lines");
  child.kill("SIGKILL");
  await ended;
  const { pid } = child;
  assert.deepEqual(
    entries.map(({ level, event, message }) => [level, event, message]),
    ["one", "two\x1b[m", "0".repeat(2000)].map((line) => [
      ...["error", "runtime-output"],
      `the helper pid ${pid} printed: ${line}`,
    ]),
  );
});

const failedStarts = fileURLToPath(new URL("../support/failed_starts_child.ts", import.meta.url));

/** Runs the program above with few descriptors, and the words of a command that changes its user. */
function outcomeOf(refused: string, as: readonly string[] = []) {
  const words = [
    ...as,
    "prlimit",
    "--nofile=120",
    process.execPath,
    ...flags,
    failedStarts,
    refused,
  ];
  const { stdout, stderr } = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
  assert.ok(stdout.startsWith("{"), stderr);
  return JSON.parse(stdout) as { readonly failed: number; readonly left: number };
}

test("100 starts that fail at the limit of open files leave none open", () => {
  for (const free of [0, 4, 6, 8, 12, 16]) {
    assert.deepEqual({ free, ...outcomeOf(String(free)) }, { free, failed: 100, left: 0 });
  }
});

test("100 starts that fail for lack of processes leave no descriptor open", {
  // The other runtimes may need a thread of their own then.
  skip: process.getuid!() !== 0 || (adapter as Runtime).name !== "node",
}, () => {
  const as = ["setpriv", "--reuid=54321", "--clear-groups"];
  assert.deepEqual(outcomeOf("fork", as), { failed: 100, left: 0 });
});
