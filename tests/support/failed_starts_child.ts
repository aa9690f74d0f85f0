/**
 * Tries to start processes while so many descriptors are free as the first argument says, or, with
 * `fork`, while the kernel refuses another process. Prints how many starts failed and how many
 * descriptors they left open.
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readdirSync } from "node:fs";
import process from "node:process";
import * as runtime from "#runtime";
import { ControlledProcess } from "../../src/control/child_process.ts";
import { until } from "./until.ts";

const STARTS = 100;

const [, , refused] = process.argv;
const inherited = [openSync("/dev/null", "r"), openSync("/dev/null", "r")];

// The first start opens what the runtime then keeps.
await end([start()]);
const before = count();
const allow = refused === "fork" ? refuseProcesses() : takeDescriptors(Number(refused));
let failed = 0;
const started: ControlledProcess<never, unknown>[] = [];
for (let i = 0; i < STARTS; i++) {
  try {
    started.push(start());
    await end(started.splice(0));
  } catch {
    failed++;
  }
}
allow();
// The runtime may have closed some of its own since.
let left = count() - before;
await until(() => (left = count() - before) <= 0, "no descriptor is left", 2000).catch(() => {});
if (refused !== "fork") await end([start()]);
console.log(JSON.stringify({ failed, left: Math.max(left, 0) }));
process.exit(0);

function start(): ControlledProcess<never, unknown> {
  return new ControlledProcess<never, unknown>({ ...runtime, self: ["/bin/sh"] }, {
    words: ["-c", "exec sleep 60"],
    inherited,
    parse: () => undefined,
    faults: { protocolError: () => {}, internalError: () => {}, printed: () => {} },
  });
}

async function end(processes: readonly ControlledProcess<never, unknown>[]): Promise<void> {
  await Promise.all(processes.map((each) =>
    new Promise((resolve) => {
      each.onExit = resolve;
      each.kill("SIGKILL");
    })
  ));
}

function count(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Leaves `free` descriptors until the returned function is called. */
function takeDescriptors(free: number): () => void {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    // The limit is reached.
  }
  for (const fd of taken.splice(0, free)) closeSync(fd);
  return () => taken.forEach((fd) => closeSync(fd));
}

/** For users other than root. It cannot be undone from here, since that takes a process. */
function refuseProcesses(): () => void {
  spawnSync("prlimit", [`--pid=${process.pid}`, "--nproc=1:"]);
  return () => {};
}
