import { test } from "node:test";
import assert from "node:assert/strict";
import { frame } from "../../src/control/channel.ts";
import { startChild } from "../support/child.ts";
import { until } from "../support/until.ts";

const started = () => startChild("helper_main.ts");
test("a command whose handler throws costs neither the process nor the next command", async () => {
  const { stdin, events, exited } = started();
  stdin.write(Buffer.concat([{ n: 1 }, { throws: "ours" }, { n: 2 }].map(frame)));
  await until(() => events.length === 3, "two answers and an error");
  assert.deepEqual(events.filter((event) => "n" in (event as object)), [{ n: 1 }, { n: 2 }]);
  assert.ok(events.some((event) => (event as { error?: string }).error === "ours"));
  stdin.end();
  assert.deepEqual(await exited, [0, null], "the end of commands is the end of the master");
});

test("a process that cannot read its commands says why and exits, to be started again", async () => {
  const { stdin, events, exited } = started();
  stdin.write(
    Buffer.concat([frame({ n: 1 }), Buffer.from("\0\0\0\x01{"), frame({ n: 2 })]),
  );
  assert.deepEqual(await exited, [1, null]);
  assert.deepEqual(events, [{ n: 1 }, { error: "a frame that is not JSON" }]);
});
