/**
 * How many TLS contexts the adapter keeps for the names that clients request, where a context is
 * large (Node); `remembersNames` and Bun's small ones keep all.
 */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { certificates, serve, settingsWith, until, visit } from "../support/adapter.ts";

const { createTlsContext }: Runtime = runtime;
const name: string = runtime.name;
const directory = mkdtempSync(join(tmpdir(), "stud-contexts-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** More than are kept. */
const NAMES = 1200;

for (const version of ["-tls1_2", "-tls1_3"]) {
  test(
    `contexts are forgotten beyond a limit, and sessions resume all the same (${version})`,
    { timeout: 60_000, skip: name === "node" ? false : "it keeps all contexts" },
    async () => {
      const made: number[] = [];
      const context = createTlsContext(settingsWith({
        choice: true,
        select: (serverName) => Number(/^n(\d+)\.test$/.exec(serverName)?.[1] ?? 0),
        identity(number) {
          made.push(number);
          return { certificates: [certificates[number % 2]!] };
        },
      })) as unknown as { identity(serverName: string): object };
      const frontend = serve({});
      frontend.listener.update(context as never);
      const session = join(directory, `session${version}`);
      const words = [version, "-servername", "n1.test"];
      assert.match(await visit(frontend.port, ...words, "-sess_out", session), /^New, /m);

      for (let i = 2; i < NAMES; i++) context.identity(`n${i}.test`);
      for (let i = NAMES - 400; i < NAMES; i++) context.identity(`n${i}.test`);
      context.identity("");
      assert.deepEqual(made, Array.from({ length: NAMES }, (_, i) => i), "none was made twice");

      assert.match(await visit(frontend.port, ...words, "-sess_in", session), /^Reused, /m);
      assert.deepEqual(made.slice(NAMES), [1], "the first was forgotten, and is made again");
      await until(() => frontend.visits.length === 2, "both visits");
      assert.deepEqual(frontend.visits.map(({ isResumed }) => isResumed), [false, true]);
      await frontend.stop();
    },
  );
}
