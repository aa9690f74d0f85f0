/** Deno's debugger, which SIGUSR1 opens. That a running stud ignores the signal is a behaviour. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";

const { name, self }: Runtime = runtime;
const options = {
  timeout: 60_000,
  skip: !/^deno$/.test(name) && "the other runtimes open no debugger while the signal is handled",
};
const child = fileURLToPath(new URL("../support/debugger_signal_child.ts", import.meta.url));

for (const when of ["before", "again"] as const) {
  test(`a debugger that a signal opened during a slow start is closed: ${when}`, options, () => {
    const [command, ...words] = [...self.slice(0, -1), "--no-check", child, when];
    const { stdout, stderr, status } = spawnSync(command!, words, {
      encoding: "utf8",
      timeout: 50_000,
    });
    assert.equal(stdout, "closed\n", stderr);
    assert.equal(status, 0, stderr);
  });
}
