import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { frame, FrameReader, MAX_FRAME_UP } from "./channel.ts";
import type { Runtime } from "../runtime/runtime.ts";

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** All that such a process may know of the environment; secrets of the master's stay with it. */
const ENVIRONMENT = [
  "PATH",
  "HOME",
  "TZ",
  "LANG",
  "LC_ALL",
  "TMPDIR",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "NODE_COMPILE_CACHE",
];

/** Bytes that may wait for a process beside what it has to know. */
const MAX_OFFERED = 1024 * 1024;

/** A process of this same program with a control channel: `Down` are its orders, `Up` its reports. */
export class ControlledProcess<Down, Up> {
  onEvent: (report: Up) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  private readonly child: ChildProcess;
  private readonly unfinished = new Set(["process", "reports"]);
  private exit: ProcessExit | undefined;

  /**
   * `words` are its arguments. `inherited` are descriptors that it finds from 4 on; they stay open
   * in the master. `parse` takes a decoded frame, which is not to be trusted. Throws an Error when
   * no process can be had.
   */
  constructor(
    { self, workerEnvironment }: Pick<Runtime, "self" | "workerEnvironment">,
    words: readonly string[],
    inherited: readonly number[],
    parse: (value: unknown) => Up | undefined,
  ) {
    const environment = ENVIRONMENT.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    });
    this.child = spawn(self[0]!, [...self.slice(1), ...words], {
      // For those who look at a list of processes.
      argv0: process.execPath,
      stdio: ["pipe", "ignore", "inherit", "pipe", ...inherited],
      env: { ...Object.fromEntries(environment), ...workerEnvironment },
    });
    const reports = new FrameReader(MAX_FRAME_UP, (value) => {
      const report = parse(value);
      if (report) this.onEvent(report);
    });
    // Out of descriptors or processes, there is an `error` to come and no channel.
    this.child.on("error", () => {});
    const upward = this.child.stdio?.[3] as Readable | undefined;
    if (this.child.pid === undefined || !upward) throw new Error("fork failed");
    upward.on("data", (bytes: Uint8Array) => {
      try {
        reports.push(bytes);
      } catch {
        // It does not speak our protocol any more; a new one will.
        this.kill("SIGKILL");
      }
    });
    upward.on("error", () => {});
    upward.on("close", () => this.ended("reports"));
    // A write to a process that has just died; its exit is told by `exit`.
    this.child.stdin!.on("error", () => {});
    this.child.on("exit", (code, signal) => {
      this.exit = { code, signal };
      this.ended("process");
    });
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  send(command: Down): void {
    this.child.stdin!.write(frame(command));
  }

  /**
   * As `send`; false when it is left out because the process does not keep up, which on Bun nobody
   * can tell.
   */
  offer(command: Down): boolean {
    if (this.child.stdin!.writableLength >= MAX_OFFERED) return false;
    this.send(command);
    return true;
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.exit) return;
    try {
      // Deno's own `kill` of a child also closes its pipes, and with them its last words.
      process.kill(this.child.pid!, signal);
    } catch {
      // It has just ended, which `exit` tells.
    }
  }

  /** Its exit counts when its last report was read too. */
  private ended(part: "process" | "reports"): void {
    this.unfinished.delete(part);
    if (this.unfinished.size === 0) this.onExit(this.exit!);
  }
}
