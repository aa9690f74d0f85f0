import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { reasonOf } from "../base/errors.ts";
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

/** What can go wrong on the control channel of a child process. */
export interface ChannelFaults {
  /** The process was killed because of what it sent; `reason` is a noun phrase. */
  protocolError(reason: string, pid: number): void;
  /** A handler of the master's own threw. The channel goes on. */
  internalError(error: unknown): void;
}

/** How to start a {@link ControlledProcess}. */
export interface ChildOptions<Up> {
  /** Arguments. */
  readonly words: readonly string[];
  /** Descriptors that the process finds from 4 on; they stay open in the master. */
  readonly inherited?: readonly number[];
  /** Checks a decoded frame, which is not to be trusted; undefined refuses it. */
  parse(value: unknown): Up | undefined;
  readonly faults: ChannelFaults;
}

/** A process of this same program with a control channel: commands `Down`, events `Up`. */
export class ControlledProcess<Down, Up> {
  onEvent: (event: Up) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  private readonly child: ChildProcess;
  private readonly faults: ChannelFaults;
  private readonly unfinished = new Set(["process", "events"]);
  private exit: ProcessExit | undefined;

  /** Throws an Error if no process can be started. */
  constructor(
    { self, workerEnvironment }: Pick<Runtime, "self" | "workerEnvironment">,
    { words, inherited = [], parse, faults }: ChildOptions<Up>,
  ) {
    this.faults = faults;
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
    // Out of descriptors or processes, there is an `error` to come and no channel.
    this.child.on("error", () => {});
    const upward = this.child.stdio?.[3] as Readable | undefined;
    if (this.child.pid === undefined || !upward) throw new Error("fork failed");
    const { pid } = this.child;
    const events = new FrameReader<Up>(MAX_FRAME_UP, {
      parse,
      handle: (event) => this.onEvent(event),
      internalError: (error) => faults.internalError(error),
    });
    upward.on("data", (bytes: Uint8Array) => {
      try {
        events.push(bytes);
      } catch (error) {
        // Nothing after it can be understood; whoever restarts the process gets a new channel.
        this.kill("SIGKILL");
        faults.protocolError(reasonOf(error), pid);
      }
    });
    upward.on("error", () => {});
    upward.on("close", () => this.ended("events"));
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

  /** The exit counts once the last event has been read too. */
  private ended(part: "process" | "events"): void {
    this.unfinished.delete(part);
    if (this.unfinished.size > 0) return;
    try {
      this.onExit(this.exit!);
    } catch (error) {
      this.faults.internalError(error);
    }
  }
}
