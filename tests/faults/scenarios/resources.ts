/** The machine runs out of something. */
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";

/** For each worker of two: 64 are held back, and a connection takes two. */
const DESCRIPTORS = 160;

export const resources: readonly Scenario[] = [
  {
    name: "descriptors",
    title: `ulimit -n ${DESCRIPTORS}, and more clients than that allows`,
    short: true,
    setup: { wrapper: () => ["sh", "-c", `ulimit -n ${DESCRIPTORS} && exec "$@"`, "sh"] },
    async run(stage) {
      await stage.goOn(stage.form.span / 2);
      const { handshake } = await stage.load.lap();
      stage.notes.push(
        `handshake p50 ${handshake.p50.toFixed(0)} ms, max ${handshake.max.toFixed(0)}`,
      );
    },
  },
  {
    name: "log-disk-full",
    title: "every connection is logged to a disk that is full",
    needsRoot: true,
    setup: {
      isSilent: true,
      lines: ["log-level = 2"],
      wrapper(directory) {
        const disk = join(directory, "disk");
        mkdirSync(disk, { recursive: true });
        const mount = 'mount -t tmpfs -o size=64k none "$0" && exec "$@" --log-filename="$0/log"';
        return ["unshare", "-m", "sh", "-c", mount, disk];
      },
    },
    async run(stage) {
      // The mount is seen through the process that lives with it.
      const disk = `/proc/${stage.master}/root${stage.directory}/disk`;
      await until(() => statfsSync(disk).bfree === 0, "the disk is full");
      await stage.goOn(stage.form.span / 4);
    },
  },
  {
    name: "log-pipe-closed",
    title: "every connection is logged to standard error, whose reader is gone",
    short: true,
    setup: { isSilent: true, lines: ["log-level = 2"] },
    async run(stage) {
      stage.stud.closeStderr();
      await stage.goOn(stage.form.span / 4);
    },
  },
];
