/** Repeated changes of the configuration. */
import { copyFileSync, writeFileSync } from "node:fs";
import { openTls } from "../../support/client.ts";
import { freeEndpoint } from "../../support/endpoints.ts";
import { until } from "../../support/until.ts";
import type { Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { lostQueues } from "./limits_of_deno.ts";

/** Milliseconds between two SIGHUP. */
const STORM_INTERVAL = 200;

export const reload: readonly Scenario[] = [
  {
    name: "reload-storm",
    title: "SIGHUP every 200 ms, each time with another configuration",
    short: true,
    allows: lostQueues,
    async run(stage) {
      let signals = 0;
      await stage.repeat(STORM_INTERVAL, () => {
        // Any change except certificates needs new workers.
        stage.configure({ lines: [`ssl-handshake-timeout = ${30 + ++signals % 2}`] });
        stage.signal("SIGHUP");
      });
      stage.configure({ lines: ["ssl-handshake-timeout = 40"] });
      await stage.reload();
      const [failed] = stage.logged(({ event }) => event === "reload-failed");
      if (failed) throw new Error(failed.message);
      const reloads = stage.logged(({ event }) => event === "reloaded").length;
      stage.notes.push(`${signals} signals became ${reloads} reloads`);
      await oldOnesLeave(stage);
    },
  },
  {
    name: "certificate-swap",
    title: "the certificate replaced and SIGHUP, one after the other",
    short: true,
    allows: lostQueues,
    async run(stage) {
      let swaps = 0;
      await stage.repeat(STORM_INTERVAL, async () => {
        const [file, name] = ++swaps % 2
          ? [stage.certificates.a, "a"] as const
          : [stage.certificates.localhost, "localhost"] as const;
        copyFileSync(file, stage.pem);
        await stage.reload();
        await until(async () => await presented(stage) === name, `certificate ${name} is served`);
      });
      stage.notes.push(`${swaps} swaps`);
      await oldOnesLeave(stage);
    },
  },
  {
    name: "broken-certificate",
    title: "a broken certificate file and SIGHUP, then the correct one again",
    allows: lostQueues,
    async run(stage) {
      const refusals = () => stage.logged(({ event }) => event === "reload-failed");
      writeFileSync(stage.pem, "roses are red\n");
      stage.signal("SIGHUP");
      await until(() => refusals().length === 1, "the refusal is logged");
      if (!refusals()[0]!.message.includes(stage.pem)) throw new Error("the file is not named");
      if (await presented(stage) !== "localhost") throw new Error("another certificate is served");
      copyFileSync(stage.certificates.a, stage.pem);
      await stage.reload();
      await until(async () => await presented(stage) === "a", "the correct certificate is served");
      await oldOnesLeave(stage);
    },
  },
  {
    name: "frontends",
    title: "another frontend added and removed",
    allows: lostQueues,
    async run(stage) {
      const second = await freeEndpoint();
      const serves = () => stage.ordinary(second).then(() => true, () => false);
      let rounds = 0;
      await stage.repeat(STORM_INTERVAL, async () => {
        rounds++;
        stage.configure({ frontends: [second] });
        await stage.reload();
        await until(serves, "the added frontend serves");
        stage.configure({});
        await stage.reload();
        await until(async () => !await serves(), "the removed frontend refuses");
      });
      stage.notes.push(`${rounds} times`);
      await oldOnesLeave(stage);
    },
  },
];

/** Renews the connections that last as long as the load, so that the old workers exit. */
async function oldOnesLeave(stage: Stage): Promise<void> {
  await stage.renewing(stage.isComplete());
}

/** The common name of the certificate of a new connection; undefined if it failed. */
async function presented(stage: Stage): Promise<string | undefined> {
  try {
    const socket = await openTls(stage.frontend);
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return String(name);
  } catch (error) {
    if (stage.target.adoptSockets) throw error;
    return undefined;
  }
}
