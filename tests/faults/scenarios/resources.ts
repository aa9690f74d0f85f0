/** The machine runs out of something. */
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";

/** Reserved by a worker for everything that is not a connection. */
const RESERVED = 64;
/** The share of the clients that the two workers can serve at once, with two descriptors each. */
const SERVED_AT_ONCE = 0.6;

export const resources: readonly Scenario[] = [
  {
    name: "descriptors",
    title: "a descriptor limit (ulimit -n) that makes 40 % of the clients wait",
    short: true,
    setup: {
      wrapper(_, { clients }) {
        const limit = RESERVED + Math.floor(clients * SERVED_AT_ONCE);
        return ["sh", "-c", `ulimit -n ${limit} && exec "$@"`, "sh"];
      },
    },
    async run(stage) {
      const isTold = () => stage.logged(({ event }) => event === "connection-limit").length > 0;
      await until(isTold, "clients have to wait");
      await stage.keepRunning(stage.form.span / 2);
      const { handshake } = await stage.load.lap();
      stage.notes.push(
        `handshake p50 ${handshake.p50.toFixed(0)} ms, max ${handshake.max.toFixed(0)}`,
      );
    },
  },
  {
    name: "log-disk-full",
    title: "every connection is logged to a full disk",
    needsRoot: true,
    setup: {
      logFile: "disk/log",
      lines: ["log-level = 2"],
      wrapper(directory) {
        const disk = join(directory, "disk");
        mkdirSync(disk, { recursive: true });
        const mount = 'mount -t tmpfs -o size=64k none "$0" && exec "$@" --log-filename="$0/log"';
        return ["unshare", "-m", "sh", "-c", mount, disk];
      },
    },
    async run(stage) {
      await until(() => statfsSync(stage.path("disk")).bfree === 0, "the disk is full");
      await stage.keepRunning(stage.form.span / 4);
    },
  },
  {
    name: "log-pipe-closed",
    title: "every connection is logged to standard error, whose reader has exited",
    setup: { lines: ["log-level = 2"] },
    async run(stage) {
      stage.stud.closeStderr();
      await stage.keepRunning(stage.form.span / 4);
    },
  },
];
