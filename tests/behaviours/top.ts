/** `stud top` in a real terminal, with an endpoint whose answers the test chooses. */
import assert from "node:assert/strict";
import type { Status } from "../../src/status/status.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { FakeAdmin } from "../support/fake_admin.ts";
import { counter, statusDocument, worker } from "../support/small_status.ts";
import { runStud } from "../support/stud.ts";
import { Tmux } from "../support/tmux.ts";

export const top: readonly Behaviour[] = [
  {
    name: "shows rates, sorts, pauses, follows the terminal's size, reconnects and gives it back",
    needs: ["tmux"],
    waits: true,
    async run(context) {
      const { admin, tmux, command } = await terminal(context);
      await tmux.line("echo before");
      await tmux.line(`${command} --interval=0.1; echo "exit $?"`);
      const first = await tmux.shows(/^ +1 +5001 .* serving/m);
      assert.match(first, /^stud 1\.2\.3 {2}Bun 1\.4\.5 {2}pid 4711 .*generation 4/);
      assert.match(first, /^stud is well$/m);
      assert.doesNotMatch(first, /before/);
      assert.match(first, /^q quit/m);
      assert.match(first, /WORKER\^/);
      // 10 and 30 more in each second of the documents' time.
      await tmux.shows(/ 10\/s full, 30\/s resumed/);
      await tmux.keys("s", "s", "Right", "Right");
      const byOpen = await tmux.shows(/OPENv/);
      assert.deepEqual(pids(byOpen), ["5002", "5001"]);
      await tmux.keys("r");
      assert.deepEqual(pids(await tmux.shows(/OPEN\^/)), ["5001", "5002"]);

      await tmux.resize(100, 12);
      // The last column is not lost.
      await tmux.shows(/^stud 1\.2\.3 .{67,} UTC\n/);
      await tmux.shows(/^[^\n]+\n[^]*\n[^\n]*q quit[^\n]*\n$/);
      await tmux.resize(40, 6);
      const small = await tmux.shows(/^stud 1\.2\.3[^]*Connections/);
      assert.ok(small.split("\n").every((line) => line.length <= 40), small);
      await tmux.resize(80, 24);
      await tmux.shows(/WORKER[^]*q quit/);

      await tmux.keys("p");
      await tmux.shows(/PAUSED/);
      await tmux.keys("p", "?");
      await tmux.shows(/q, Ctrl-C {5}quit/);
      await tmux.keys("?");
      await admin.stop();
      await tmux.shows(/^NO ANSWER for .*: unix:\/.* does not exist/m);
      await admin.listen();
      await tmux.shows(/^stud is well\n\n/m);

      await tmux.keys("C-z");
      await tmux.shows(/before[^]*Stopped/);
      await tmux.line('fg; echo "exit $?"');
      await tmux.shows(/^stud is well$[^]*q quit/m);
      await tmux.keys("q");
      const after = await tmux.shows(/before[^]*exit 0\n/);
      assert.doesNotMatch(after, /stud is well/);
      await tmux.line("stty -a | tr ' ' '\\n' | grep -x -e echo -e icanon | xargs echo modes");
      await tmux.shows(/^modes (icanon echo|echo icanon)$/m);
    },
  },
  {
    name:
      "Ctrl-C and SIGTERM give the terminal back, and what a stranger wrote does not control it",
    needs: ["tmux"],
    waits: true,
    async run(context) {
      const { admin, tmux, command } = await terminal(context);
      const problem = "\x1b[2J\x1b]0;title\x07\x9b31m\u202etxt";
      admin.status = statusDocument({
        health: "degraded",
        problems: [{ severity: "error", code: "x", text: problem }],
      });
      admin.handler = undefined;
      await tmux.line(`${command}; echo "exit $?"`);
      await tmux.shows(/^error: \\u\{1b\}\[2J.*\\u\{9b\}31m\\u\{202e\}txt/m);
      assert.ok((await tmux.screen(true)).includes("\x1b[31m"), "an error is red");
      await tmux.keys("C-c");
      await tmux.shows(/exit 0\n/);
      await tmux.line(`NO_COLOR=1 ${command} & pid=$!; fg; echo "exit $?"`);
      await tmux.shows(/^error: /m);
      assert.ok(!(await tmux.screen(true)).includes("\x1b[31m"), "nothing is red");
      const [, pid] = /pid (\d+)/.exec(await tmux.screen()) ?? [];
      assert.equal(pid, "4711");
      await tmux.keys("C-z");
      await tmux.shows(/Stopped/);
      await tmux.line('clear; kill -TERM $pid; fg; echo "exit $?"');
      const after = await tmux.shows(/exit 143\n/);
      assert.doesNotMatch(after, /stud is degraded/);
      await tmux.line(`TERM=dumb ${command}; echo "exit $?"`);
      await tmux.shows(/stud: top: this terminal cannot show a screen[^]*exit 2\n/);
    },
  },
  {
    name: "refuses to run without a terminal",
    async run(context) {
      const { code, stdout, stderr } = await runStud(context.target, ["top", "--admin=/run/x"]);
      assert.equal(stderr, "stud: top: this is not a terminal; use stud status in scripts\n");
      assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    },
  },
];

/** A shell in a terminal, and an endpoint whose documents count on. */
async function terminal(
  context: Context,
): Promise<{ admin: FakeAdmin; tmux: Tmux; command: string }> {
  const admin = await FakeAdmin.start();
  context.after(() => admin.close());
  let second = 0;
  admin.handler = (_, response) => response.end(JSON.stringify(documentAt(second++)));
  const tmux = await Tmux.start();
  context.after(() => tmux.close());
  const words = [...context.target.command, "top", `--admin=${admin.path}`];
  return { admin, tmux, command: words.map((word) => `'${word}'`).join(" ") };
}

/** The status a number of seconds after the first one. */
function documentAt(second: number): Status {
  const handshakes = counter(
    "stud_handshakes_total",
    [{ kind: "full" }, 10 * second],
    [{ kind: "resumed" }, 30 * second],
  );
  return statusDocument({
    time: new Date(Date.UTC(2026, 10, 30, 12, 0, second)).toISOString(),
    workers: [worker(1, 5001, 3, 0), worker(2, 5002, 30, 0)],
    metrics: [handshakes],
  });
}

/** The pids of the workers, in the order of the screen. */
function pids(screen: string): string[] {
  return [...screen.matchAll(/^ +\d+ +(\d+) .*serving/gm)].map(([, pid]) => pid!);
}
