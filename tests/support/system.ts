/** Runs `system_child.ts` under the runtime of the test. */
import { after } from "node:test";
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { within } from "./until.ts";

const { self }: Runtime = runtime;

/** The command of stud, from its sources. */
export const program: readonly string[] = [
  ...self.slice(0, -1),
  fileURLToPath(new URL("../../mod.ts", import.meta.url)),
];

/** The command of the program whose first argument is a task. */
export const systemChild: readonly string[] = [
  ...self.slice(0, -1),
  fileURLToPath(new URL("./system_child.ts", import.meta.url)),
];

const children: ChildProcess[] = [];
const directories: string[] = [];

after(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await within(once(child, "exit"), "the exit of a child");
  }
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Removed after the last test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "stud-test-"));
  directories.push(directory);
  return directory;
}

export interface Running<Facts> {
  readonly child: ChildProcess;
  readonly facts: Facts;
}

/**
 * Starts a task and waits for its result. `fds` are its descriptors from 3 on; a shell sets
 * `environment` and then executes the task, so `$$` is its pid.
 */
export async function runTask<Facts>(
  words: readonly string[],
  { fds = [], environment = "" }: { fds?: readonly number[]; environment?: string } = {},
): Promise<Running<Facts>> {
  const stdio: StdioOptions = ["pipe", "pipe", "inherit", ...fds];
  const child = spawn("sh", ["-c", `${environment} exec "$@"`, "sh", ...systemChild, ...words], {
    stdio,
  });
  children.push(child);
  let text = "";
  const line = new Promise<string>((resolve, reject) => {
    child.stdout!.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on(
      "exit",
      () => reject(new Error(`the task exited without a result: ${words.join(" ")}`)),
    );
  });
  return { child, facts: JSON.parse(await within(line, `the result of ${words[0]}`)) };
}
