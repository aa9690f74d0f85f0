import { test } from "node:test";
import assert from "node:assert/strict";
import * as adapter from "#runtime";
import { ControlledProcess } from "../../src/control/child_process.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

/** Where anything is offered. */
const used = { skip: !(adapter as Runtime).capabilities.sessionCache };

test(
  "a process that reads nothing is offered a megabyte or two, and sent what it has to know",
  used,
  async () => {
    const runtime = { self: ["/bin/sh"], workerEnvironment: {} };
    const child = new ControlledProcess(runtime, ["-c", "exec sleep 60"], [], () => undefined);
    const ended = new Promise((resolve) => child.onExit = resolve);
    try {
      const command = "x".repeat(64 * 1024);
      const taken = Array.from({ length: 100 }, () => child.offer(command)).filter(Boolean).length;
      // What the pipe holds comes on top.
      assert.ok(taken >= 16 && taken <= 32, `${taken} of 64 KiB were taken`);
      child.send(command);
      assert.equal(child.offer(command), false);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  },
);
