/** The unit under a real systemd, which runs in namespaces of its own. */
import assert from "node:assert/strict";
import { exchange, openTls } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { freeEndpoint } from "../support/endpoints.ts";
import { startSystemd, type Systemd } from "../support/systemd.ts";
import { until } from "../support/until.ts";

const isRoot = () => process.getuid!() === 0;

export const systemd: readonly Behaviour[] = [
  {
    name: "after an upgrade, a stop lets the connections of both processes finish",
    needs: ["systemd-analyze"],
    appliesTo: isRoot,
    waits: true,
    async run(context) {
      const { manager, frontend } = await started(context);
      const old = await held(context, frontend);
      await upgraded(manager);
      const young = await held(context, frontend);
      const stop = manager.systemctl("stop", "stud");
      await until(() => manager.log().split("stopping: waiting").length > 2, "both are stopping");
      for (const client of [old, young]) await client.echo("during the stop");
      for (const client of [old, young]) client.close();
      assert.deepEqual(await stop, { code: 0, stdout: "", stderr: "" });
      assert.equal(await manager.property("Result"), "success");
      assert.equal(await manager.property("ActiveState"), "inactive");
    },
  },
  {
    name: "after an upgrade, restart works, and a new master that dies is replaced",
    needs: ["systemd-analyze"],
    appliesTo: isRoot,
    waits: true,
    async run(context) {
      const { manager, frontend } = await started(context);
      // The old process drains while the new one dies.
      await held(context, frontend);
      await upgraded(manager);
      const killed = await manager.property("MainPID");
      await manager.systemctl("kill", "--kill-whom=main", "--signal=KILL", "stud");
      await until(async () => await manager.property("NRestarts") === "1", "the restart");
      await until(async () => await manager.property("ActiveState") === "active", "its start");
      assert.notEqual(await manager.property("MainPID"), killed);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      await upgraded(manager);
      assert.equal((await manager.systemctl("restart", "stud")).code, 0);
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      assert.equal((await manager.systemctl("stop", "stud")).code, 0);
      assert.equal(await manager.property("Result"), "success");
    },
  },
  {
    name: "systemctl reload fails with the reason if the configuration is not in use",
    needs: ["systemd-analyze"],
    appliesTo: isRoot,
    waits: true,
    async run(context) {
      const { manager } = await started(context);
      const text = async () => await manager.property("StatusText");
      assert.deepEqual(await manager.systemctl("reload", "stud"), {
        code: 0,
        stdout: "",
        stderr: "",
      });
      manager.configure("workers = many");
      const { code, stderr } = await manager.systemctl("reload", "stud");
      assert.equal(code, 1, stderr);
      assert.match(manager.log(), /^stud: reload failed .*\n +\S+stud\.conf:\d+:\d+: workers: /m);
      assert.match(await text(), /^the last reload failed: .*stud\.conf:\d+:\d+: workers: /);
      assert.equal(await manager.property("ActiveState"), "active");
      manager.configure("");
      assert.equal((await manager.systemctl("reload", "stud")).code, 0);
      await until(async () => (await text()).startsWith("listening on "), "the status line");
    },
  },
];

async function started(context: Context) {
  const frontend = await freeEndpoint();
  const backend = (await context.echo()).port;
  const manager = await startSystemd(context, { frontend, backend });
  const { code, stderr } = await manager.systemctl("start", "stud");
  assert.equal(code, 0, stderr + manager.log());
  return { manager, frontend };
}

/** Replaces the main process; fulfilled when systemd supervises the new one. */
async function upgraded(manager: Systemd): Promise<void> {
  const before = await manager.property("MainPID");
  await manager.systemctl("kill", "--kill-whom=main", "--signal=USR2", "stud");
  await until(async () => await manager.property("MainPID") !== before, "the new main process");
}

/** A client that stays connected. */
async function held(context: Context, frontend: { host: string; port: number }) {
  const client = await openTls(frontend);
  context.after(() => client.destroy());
  const echo = async (text: string) => {
    client.write(text);
    await until(() => String(client.read() ?? "") === text, `the echo of ${text}`);
  };
  await echo("hello");
  return { echo, close: () => client.end() };
}
