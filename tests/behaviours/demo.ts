/** `--demo`: from nothing to a working TLS proxy in one command. */
import assert from "node:assert/strict";
import { run } from "../support/commands.ts";
import type { Behaviour } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { isAlive, userOf } from "../support/processes.ts";
import { Stud } from "../support/stud.ts";
import { until } from "../support/until.ts";

const NOBODY = 65534;

export const demo: readonly Behaviour[] = [
  {
    name: "the curl command that --demo prints works, and SIGINT stops everything",
    needs: ["curl"],
    async run(context) {
      const frontend = await freeEndpoint();
      const words = ["--demo", "-f", `${frontend.host},${frontend.port}`];
      const stud = new Stud([...context.target.command, ...words], frontend);
      context.after(() => stud.destroy());
      const curl = () => /^\s*(?:\$ )?(curl .*)\n/m.exec(stud.stdout + stud.stderr)?.[1];
      const command = await until(curl, `a line with curl; so far: ${stud.stdout}${stud.stderr}`);
      const answer = await run("sh", ["-c", `${command} -sS -w '\\n%{http_code}'`]);
      assert.equal(answer.stdout.split("\n").at(-1), "200", answer.stderr);
      assert.match(answer.stdout, /127\.0\.0\.1/);
      assert.doesNotMatch(stud.stderr, / warn /);
      const workers = stud.workers();
      assert.ok(workers.length > 0);
      if (process.getuid?.() === 0) {
        assert.deepEqual(workers.map(userOf), workers.map(() => NOBODY));
      }
      assert.deepEqual(await stud.stop("SIGINT"), { code: 0, signal: null });
      assert.ok(!workers.some(isAlive));
    },
  },
  {
    name: "--demo serves even if standard output cannot be written",
    async run(context) {
      const frontend = await freeEndpoint();
      const words = ["--demo", "--log-format=json", "-f", `${frontend.host},${frontend.port}`];
      const shell = ["bash", "-c", 'exec "$@" >/dev/full', "bash"];
      const stud = new Stud([...shell, ...context.target.command, ...words], frontend);
      context.after(() => stud.destroy());
      await stud.waitForLog(({ event }) => event === "ready", "stud is ready");
      (await context.tls(frontend)).destroy();
      assert.deepEqual(await stud.stop(), { code: 0, signal: null });
    },
  },
];
