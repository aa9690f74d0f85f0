/** Child servers that must not outlive the benchmark, however it ends. */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { environment } from "../tests/support/commands.ts";
import { root } from "../tests/support/target.ts";
import { within } from "../tests/support/until.ts";
import { processTree } from "./cpu.ts";

const running = new Set<ChildProcess>();

process.on("exit", () => {
  for (const child of running) killAll(child);
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => process.exit(1));
}

/** Starts a server in the root of the repository. */
export function startServer(command: readonly string[], stdio: StdioOptions): ChildProcess {
  const [program, ...words] = command;
  const child = spawn(program!, words, { cwd: root, env: environment, stdio });
  running.add(child);
  child.on("error", () => running.delete(child));
  child.on("close", () => running.delete(child));
  return child;
}

/** Sends SIGTERM, after 2 s SIGKILL to the whole tree, and waits for the exit. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return;
  const closed = once(child, "close");
  child.kill("SIGTERM");
  try {
    await within(closed, "the end of a server", 2000);
  } catch {
    killAll(child);
    await closed;
  }
}

/** Kills a process with all its descendants. */
function killAll(child: ChildProcess): void {
  for (const pid of processTree(child.pid!)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has exited.
    }
  }
}
