/** Backends that die, hang, or can no longer be resolved. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BackendKind } from "../backend.ts";
import { until } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";
import { openIdle } from "../peers.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** The name that the private hosts file knows. */
const NAME = "backend.example";
/** Misbehaving connections, in addition to the load. */
const BAD = 60;

export const backends: readonly Scenario[] = [
  {
    name: "backend-killed",
    title: "the backend killed (-9) and restarted",
    short: true,
    async run(stage) {
      const from = Date.now();
      await stage.backend.kill();
      await stage.keepRunning(stage.form.span / 10);
      await stage.backend.restart();
      const until = Date.now();
      stage.notes.push(`${until - from} ms without a backend`);
      stage.allow({
        reason: "the backend was down; stud accepted the connection and closed it at once",
        covers: (failure) =>
          failure.phase === "exchange" && failure.until >= from && failure.from <= until,
      });
      await stage.keepRunning(1000);
    },
  },
  {
    name: "backend-stopped",
    title: "the backend stopped (SIGSTOP): the kernel accepts, nothing answers; then continued",
    async run(stage) {
      stage.backend.signal("SIGSTOP");
      await stage.keepRunning(stage.form.span / 4);
      stage.backend.signal("SIGCONT");
      await stage.keepRunning(1000);
    },
  },
  {
    name: "backend-silent",
    title: `${BAD} connections to a backend that never answers, in addition to the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.silent);
      await stage.keepRunning(stage.form.span / 2);
      peers.close();
    },
  },
  {
    name: "backend-slow",
    title:
      `${BAD} sending connections to a backend that reads 1 byte per second, in addition to the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.slow);
      peers.fill();
      await stage.keepRunning(stage.form.span / 2);
      // The backend is still owed what clients sent before they disconnected, so it has to close.
      peers.close();
      stage.backend.endSlow();
    },
  },
  {
    name: "client-slow",
    title:
      `${BAD} clients that read 1 byte per second of an endless answer, in addition to the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.flood);
      peers.readSlowly();
      await stage.keepRunning(stage.form.span / 2);
      peers.close();
    },
  },
  {
    name: "dns-failing",
    title: "the backend's name can no longer be resolved, then it can again",
    needsRoot: true,
    setup: {
      backendHost: NAME,
      lines: ["backend-refresh = 1"],
      wrapper(directory) {
        const file = hostsFile(directory);
        writeFileSync(file, `127.0.0.1 localhost ${NAME}\n`);
        const mount = 'mount --bind "$0" /etc/hosts && exec "$@"';
        return ["unshare", "-m", "sh", "-c", mount, file];
      },
    },
    allows: lostQueues,
    async run(stage) {
      const file = hostsFile(stage.directory);
      const resolveFailures = () =>
        stage.logged(({ event }) => event === "backend-unresolved").length;
      writeFileSync(file, "127.0.0.1 localhost\n");
      await until(() => resolveFailures() === 1, "the failure is logged");
      await stage.keepRunning(stage.form.span / 4);
      writeFileSync(file, `127.0.0.1 localhost ${NAME}\n`);
      await stage.keepRunning(stage.form.span / 10);
      if (resolveFailures() !== 1) {
        throw new Error(`the failure was logged ${resolveFailures()} times`);
      }
    },
  },
];

function hostsFile(directory: string): string {
  mkdirSync(directory, { recursive: true });
  return join(directory, "hosts");
}
