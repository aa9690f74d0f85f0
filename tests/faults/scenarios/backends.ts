/** Backends that die, hang, or cannot be found any more. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BackendKind } from "../backend.ts";
import { until } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";
import { openIdle } from "../peers.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** The name that the private hosts file knows. */
const NAME = "backend.example";
/** Connections that the backend treats badly, beside the load. */
const BAD = 60;

export const backends: readonly Scenario[] = [
  {
    name: "backend-killed",
    title: "the backend killed (-9) and started again",
    short: true,
    async run(stage) {
      const from = Date.now();
      await stage.backend.kill();
      await stage.goOn(stage.form.span / 10);
      await stage.backend.restart();
      const until = Date.now();
      stage.notes.push(`${until - from} ms without a backend`);
      stage.allow({
        reason: "the backend was away; stud accepted, and ended the connection at once",
        covers: (failure) =>
          failure.phase === "exchange" && failure.until >= from && failure.from <= until,
      });
      await stage.goOn(1000);
    },
  },
  {
    name: "backend-stopped",
    title: "the backend stopped (SIGSTOP): it accepts and answers nobody; then it goes on",
    async run(stage) {
      stage.backend.signal("SIGSTOP");
      await stage.goOn(stage.form.span / 4);
      stage.backend.signal("SIGCONT");
      await stage.goOn(1000);
    },
  },
  {
    name: "backend-silent",
    title: `${BAD} connections to a backend that never answers, beside the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.silent);
      await stage.goOn(stage.form.span / 2);
      peers.close();
    },
  },
  {
    name: "backend-slow",
    title:
      `${BAD} connections to a backend that reads 1 byte a second, all sending, beside the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.slow);
      peers.fill();
      await stage.goOn(stage.form.span / 2);
      // What clients sent before they left belongs to the backend: it is for the backend to end.
      peers.close();
      stage.backend.endSlow();
    },
  },
  {
    name: "client-slow",
    title: `${BAD} clients that read 1 byte a second of an endless answer, beside the load`,
    async run(stage) {
      const peers = await openIdle(stage, BAD, BackendKind.flood);
      peers.readSlowly();
      await stage.goOn(stage.form.span / 2);
      peers.close();
    },
  },
  {
    name: "dns-failing",
    title: "the backend's name cannot be resolved any more, then it can",
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
      const troubles = () => stage.logged(({ event }) => event === "backend-unresolved").length;
      writeFileSync(file, "127.0.0.1 localhost\n");
      await until(() => troubles() === 1, "the trouble is told");
      await stage.goOn(stage.form.span / 4);
      writeFileSync(file, `127.0.0.1 localhost ${NAME}\n`);
      await stage.goOn(stage.form.span / 10);
      if (troubles() !== 1) throw new Error(`the trouble was told ${troubles()} times`);
    },
  },
];

function hostsFile(directory: string): string {
  mkdirSync(directory, { recursive: true });
  return join(directory, "hosts");
}
