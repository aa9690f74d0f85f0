import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { reasonOf } from "../base/errors.ts";
import { assertCanStart, closeLeftSockets, openSockets } from "../os/descriptors.ts";
import { frame, FrameReader, MAX_FRAME_UP } from "./channel.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { withoutAmbient } from "../system/inherited_capabilities.ts";

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** The variables that a child process inherits; others may contain secrets of the master. */
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

/** Maximum length of a line that a process prints; more is dropped. */
const MAX_PRINTED = 2000;
/** Maximum number of bytes that wait for a process when `offer` adds a command. */
const MAX_OFFERED = 1024 * 1024;

/** What can go wrong on the control channel of a child process. */
export interface ChannelFaults {
  /** The process was killed because of what it sent; `reason` is a noun phrase. */
  protocolError(reason: string, pid: number): void;
  /** A handler in the master threw. The channel continues. */
  internalError(error: unknown): void;
  /** The process's runtime has printed a line to standard error, for example of a crash report. */
  printed(line: string, pid: number): void;
}

/** What a child process needs of the runtime. */
export type ChildRuntime = Pick<Runtime, "self" | "workerEnvironment" | "libc">;

/** How to start a {@link ControlledProcess}. */
export interface ChildOptions<Up> {
  /** Arguments. */
  readonly words: readonly string[];
  /** Descriptors that the process gets from 4 on; they stay open in the master. */
  readonly inherited?: readonly number[];
  /** It keeps ambient capabilities, such as CAP_NET_BIND_SERVICE, until it drops them itself. */
  readonly bindsSockets?: boolean;
  /** Validates a decoded frame, which is untrusted; undefined refuses it. */
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

  /** Throws an Error if no process can be started; no descriptor is left open then. */
  constructor(
    { self, workerEnvironment, libc }: ChildRuntime,
    { words, inherited = [], bindsSockets = false, parse, faults }: ChildOptions<Up>,
  ) {
    this.faults = faults;
    const environment = ENVIRONMENT.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    });
    const sockets = openSockets();
    assertCanStart(libc, inherited.length);
    const start = () =>
      spawn(self[0]!, [...self.slice(1), ...words], {
        // For the list of processes.
        argv0: process.execPath,
        // The directory of this process may have been removed, or belong to a file system that is to
        // be unmounted.
        cwd: "/",
        // Our own standard error may block, and with it the process that prints.
        stdio: ["pipe", "ignore", "pipe", "pipe", ...inherited],
        env: { ...Object.fromEntries(environment), ...workerEnvironment },
      });
    this.child = bindsSockets ? start() : withoutAmbient(libc, start);
    // Without free descriptors or processes, an `error` follows and there is no channel.
    this.child.on("error", () => {});
    const upward = this.child.stdio?.[3] as Readable | undefined;
    if (this.child.pid === undefined || !upward) {
      for (const stream of this.child.stdio ?? []) stream?.destroy();
      // Deno loses one when the kernel refuses another process.
      closeLeftSockets(libc, sockets);
      // Most runtimes need it for a stream that is ignored.
      throw new Error(existsSync("/dev/null") ? "fork failed" : "/dev/null is missing");
    }
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
        // Nothing after it can be parsed; a restarted process has a new channel.
        this.kill("SIGKILL");
        faults.protocolError(reasonOf(error), pid);
      }
    });
    upward.on("error", () => {});
    upward.on("close", () => this.ended("events"));
    readLines(this.child.stderr!, (line) => faults.printed(line, pid));
    // A write to a process that has just exited, which `exit` reports.
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
   * As `send`; returns false if the command is dropped because the process does not keep up, which
   * Bun does not report.
   */
  offer(command: Down): boolean {
    if (this.child.stdin!.writableLength >= MAX_OFFERED) return false;
    this.send(command);
    return true;
  }

  kill(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.exit) return;
    try {
      // Deno's own `kill` of a child also closes its pipes, which would lose its last events.
      process.kill(this.child.pid!, signal);
    } catch {
      // It has just exited, which `exit` reports.
    }
  }

  /** Reports the exit once the last event has been read. */
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

function readLines(stream: Readable, handle: (line: string) => void): void {
  let rest = "";
  const take = (lines: readonly string[]) => {
    for (const line of lines) if (line !== "") handle(line.slice(0, MAX_PRINTED));
  };
  stream.setEncoding("utf8").on("error", () => {}).on("close", () => take([rest]));
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(0, MAX_PRINTED);
    take(lines);
  });
}
