/** Notifications to the service manager, as for systemd's Type=notify. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exchange } from "../support/client.ts";
import type { Behaviour, Context } from "../support/context.ts";
import { receiveDatagrams } from "../support/datagrams.ts";
import { endpointText, freeEndpoint } from "../support/endpoints.ts";
import { hold } from "../support/processes.ts";
import { runStud } from "../support/stud.ts";
import { allowedCalls, unitSetting } from "../support/unit_file.ts";
import { until } from "../support/until.ts";
import { reloaded } from "./reload.ts";

export const serviceManager: readonly Behaviour[] = [
  {
    name: "start, reload and stop are reported to NOTIFY_SOCKET, in order",
    fromSource: true,
    async run(context) {
      const { stud, frontend, states } = await managed(context);
      await until(() => states().length === 1, "READY");
      const served = `listening on ${endpointText(frontend)}, workers: 1, generation`;
      assert.equal(
        states()[0],
        `READY=1
STATUS=${served} 1, connections: 0`,
      );
      stud.signal("SIGHUP");
      await until(() => states().length === 3, "RELOADING and READY");
      assert.match(states()[1]!, /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
      assert.match(states()[2]!, /^READY=1\nSTATUS=listening on /);
      await stud.stop();
      await until(() => states().length === 4, "STOPPING");
      assert.match(states()[3]!, /^STOPPING=1\nSTATUS=/);
    },
  },
  {
    name: "a failed reload ends with READY too, and the status says why until one succeeds",
    async run(context) {
      const { stud, pem, states } = await managed(context);
      const valid = readFileSync(pem);
      await until(() => states().length === 1, "READY");
      // Both are CLOCK_MONOTONIC. systemd waits for a RELOADING that is newer than its SIGHUP.
      const now = () => process.hrtime.bigint() / 1000n;
      const reload = async (text: string | Buffer, notified: number) => {
        writeFileSync(pem, text);
        const asked = now();
        stud.signal("SIGHUP");
        await until(() => states().length === notified, "RELOADING and READY");
        const [reloading, ready] = states().slice(-2);
        const time = BigInt(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading!)![1]!);
        assert.ok(asked <= time && time <= now(), `${time} is not the present`);
        return ready!;
      };
      assert.match(
        await reload("roses are red\n", 3),
        /^READY=1\nSTATUS=the last reload failed: .*site\.pem: .*; listening on /,
      );
      await stud.waitForLog(({ event }) => event === "reload-failed", "the failed reload");
      assert.match(await reload(valid, 5), /^READY=1\nSTATUS=listening on /);
    },
  },
  {
    name: "the watchdog is notified while a worker serves, and not otherwise",
    waits: true,
    async run(context) {
      const { stud, datagrams } = await managed(context, { WATCHDOG_USEC: "200000" });
      const signs = () => datagrams().filter((datagram) => datagram === "WATCHDOG=1").length;
      await until(() => signs() >= 4, "four notifications");
      const worker = stud.worker();
      await hold(worker);
      // The master pings its workers every second.
      let [before, since] = [0, performance.now()];
      await until(() => {
        if (signs() !== before) [before, since] = [signs(), performance.now()];
        return performance.now() - since > 1000;
      }, "no notification for a second");
      process.kill(worker, "SIGCONT");
      await until(() => signs() > before, "another notification");
    },
  },
  {
    name: "a watchdog timeout beyond a timer's limit causes no flood of notifications",
    async run(context) {
      // Half of it is more than 2^31 ms.
      const { stud, datagrams, states } = await managed(context, {
        WATCHDOG_USEC: "4300000000000",
      });
      await until(() => states().length === 1, "READY");
      stud.signal("SIGHUP");
      await until(() => states().length === 3, "RELOADING and READY");
      assert.equal(datagrams().filter((datagram) => datagram === "WATCHDOG=1").length, 1);
    },
  },
  {
    name: "the status has the open connections and, if known, the share of resumed handshakes",
    waits: true,
    async run(context) {
      const { port } = await context.echo();
      const { stud, datagrams } = await managed(context, {}, port);
      const first = await context.tls(stud.frontend, { maxVersion: "TLSv1.2" });
      const session = first.getSession();
      await context.tls(stud.frontend, { maxVersion: "TLSv1.2", ...(session && { session }) });
      const known = context.target.tlsFacts ? ", 50 % of 2 handshakes resumed" : "";
      const wanted = new RegExp(`^STATUS=listening on .*, connections: 2${known}$`, "m");
      await until(() => datagrams().some((each) => wanted.test(each)), "the share");
    },
  },
  {
    name: "the status counts handshakes of older generations and of killed workers",
    appliesTo: ({ tlsFacts }) => tlsFacts,
    async run(context) {
      const { port } = await context.echo();
      const file = join(mkdtempSync(join(context.certificates.directory, "counts-")), "conf");
      writeFileSync(file, "half-close-timeout = 50\n");
      const { stud, datagrams } = await managed(context, {}, port, [`--config=${file}`]);
      const counted = (share: string) =>
        until(
          () => datagrams().some((each) => each.includes(`, ${share} handshakes resumed`)),
          share,
        );
      const visit = (session?: Buffer) =>
        context.tls(stud.frontend, { maxVersion: "TLSv1.2", ...(session && { session }) });
      await visit((await visit()).getSession());
      await counted("50 % of 2");
      writeFileSync(file, "half-close-timeout = 51\n");
      await reloaded(stud);
      await visit();
      await counted("33 % of 3");
      const started = stud.logged("worker-started");
      process.kill(Number(started.at(-1)!.pid), "SIGKILL");
      await until(() => stud.logged("worker-started").length > started.length, "its successor");
      await visit();
      await counted("25 % of 4");
    },
  },
  {
    name: "a watchdog for another process is not notified",
    async run(context) {
      const foreign = { WATCHDOG_USEC: "1000", WATCHDOG_PID: "1" };
      const { stud, datagrams } = await managed(context, foreign);
      await stud.stop();
      await until(() => datagrams().some((each) => each.startsWith("STOPPING=1")), "STOPPING");
      assert.ok(!datagrams().includes("WATCHDOG=1"));
    },
  },
  {
    name: "workers do not inherit the service manager's variables",
    fromSource: true,
    async run(context) {
      const { stud } = await managed(context, { WATCHDOG_USEC: "60000000" });
      const environment = readFileSync(`/proc/${stud.worker()}/environ`, "latin1");
      assert.doesNotMatch(environment, /NOTIFY_SOCKET|WATCHDOG_/);
    },
  },
  {
    name: "--daemon sends no notifications and logs a warning",
    fromSource: true,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "notify-"));
      const path = join(directory, "notify");
      const { datagrams, stop } = await receiveDatagrams(path);
      context.after(stop);
      const [pidFile, logFile] = [join(directory, "pid"), join(directory, "log")];
      const { host, port } = await freeEndpoint();
      const { code, stderr } = await runStud(context.target, [
        ...["--daemon", "-n", "1", `--pidfile=${pidFile}`, `--log-filename=${logFile}`],
        ...[`--frontend=${host},${port}`, context.certificates.localhost],
      ], { environment: { NOTIFY_SOCKET: path } });
      assert.equal(code, 0, stderr);
      process.kill(Number(readFileSync(pidFile, "utf8")), "SIGTERM");
      const log = () => readFileSync(logFile, "utf8");
      await until(() => log().includes("all workers have exited"), "the daemon's exit");
      assert.match(log(), /warn .*--daemon: .*Type=notify/);
      assert.deepEqual(datagrams(), []);
    },
  },
  {
    name: "the unit's capabilities, read-only system and few devices are enough",
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const jail = mkdtempSync(join(context.certificates.directory, "jail-"));
      const capabilities = unitSetting("CapabilityBoundingSet")
        .map((name) => `+${name.replace("CAP_", "").toLowerCase()}`).join(",");
      const prepare =
        "mount --make-rprivate / && mount -t tmpfs none /mnt && cp -a /dev/null /dev/zero " +
        "/dev/full /dev/random /dev/urandom /dev/tty /mnt/ && mount --move /mnt /dev && " +
        "mount -o remount,bind,ro / && " +
        'exec setpriv --no-new-privs --inh-caps=-all --bounding-set="-all,$0" "$@"';
      const confined = ["unshare", "-m", "sh", "-c", prepare, capabilities];
      const command = [...confined, ...context.target.command];
      const { host } = await freeEndpoint();
      const frontend = { host, port: 443 };
      const stud = await context.like({ ...context.target, command }).stud(
        ["--user=nobody", `--chroot=${jail}`],
        { backend: (await context.echo()).port, frontend },
      );
      assert.equal(String(await exchange(frontend, "hello")), "hello");
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      // It can signal workers of another user.
      assert.equal((await stud.stop()).code, 0);
      assert.deepEqual(stud.survivors(), []);
    },
  },
  {
    name: "every system call from start to stop is in the unit's filter",
    needs: ["strace", "systemd-analyze"],
    appliesTo: () => process.getuid!() === 0,
    async run(context) {
      const directory = mkdtempSync(join(context.certificates.directory, "calls-"));
      const [jail, calls] = [join(directory, "jail"), join(directory, "calls")];
      mkdirSync(jail);
      // With a detached tracer signals reach stud.
      const traced = ["strace", "-D", "-f", "-qq", "-c", "-U", "name", "-o", calls];
      const command = [...traced, ...context.target.command];
      const stud = await context.like({ ...context.target, command }).stud(
        ["--user=nobody", `--chroot=${jail}`],
        { backend: (await context.echo()).port },
      );
      assert.equal(String(await exchange(stud.frontend, "hello")), "hello");
      stud.signal("SIGHUP");
      await stud.waitForLog(({ event }) => event === "reloaded", "the reload");
      await stud.stop();
      const names = () => readFileSync(calls, "utf8").match(/^ *[a-z_0-9]+$/gm) ?? [];
      const isComplete = () => existsSync(calls) && names().some((name) => name.trim() === "total");
      await until(isComplete, "the tracer's report");
      const used = names().map((name) => name.trim());
      assert.ok(used.includes("chroot"), "the report includes all processes");
      const allowed = allowedCalls();
      const refused = used.filter((name) => !allowed.has(name) && !/^(total|syscall)$/.test(name));
      assert.deepEqual(refused, []);
    },
  },
];

/** Starts a stud as systemd would. `states` omits status lines and watchdog notifications. */
async function managed(
  context: Context,
  environment: Readonly<Record<string, string>> = {},
  backend = 1,
  words: readonly string[] = [],
) {
  const directory = mkdtempSync(join(context.certificates.directory, "notify-"));
  const path = join(directory, "notify");
  const pem = join(directory, "site.pem");
  writeFileSync(pem, readFileSync(context.certificates.a));
  const { datagrams, stop } = await receiveDatagrams(path);
  context.after(stop);
  const stud = await context.stud([...words, pem], {
    backend,
    environment: { NOTIFY_SOCKET: path, ...environment },
  });
  const states = () => datagrams().filter((each) => /^(READY|RELOADING|STOPPING)=/.test(each));
  return { stud, pem, frontend: stud.frontend, datagrams, states };
}
