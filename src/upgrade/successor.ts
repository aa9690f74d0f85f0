/**
 * SIGUSR2: a running master starts the program again, possibly another version, passes it the
 * listening sockets, and waits for its startup result.
 */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import process from "node:process";
import { inTime } from "../base/in_time.ts";
import type { Libc } from "../os/libc.ts";
import {
  assertCanStart,
  closeInherited,
  copyFrom,
  isPeerGone,
  keepFromChildren,
} from "../os/descriptors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type Child, childrenOf } from "../system/children.ts";
import type { CountedSeries } from "../base/counters.ts";
import { readLateCounts } from "./late_counts.ts";
import { type Handover, readHandover, renumbered, writeHandover } from "./handover.ts";
import { launcherEnvironment, launchWords, MARKER } from "./launcher.ts";
import type { Program } from "./program.ts";
import {
  awaitStartupResult,
  release,
  reportStartupResult,
  STARTUP_RESULT_FD,
  takeMarker,
  writeLine,
} from "./startup_result.ts";

/** The successor's descriptor of the handover. */
const HANDOVER_FD = STARTUP_RESULT_FD + 1;
/** Maximum time for a start, which many certificates and workers can make long, in milliseconds. */
const START_LIMIT_MS = 120_000;
/** Time that a predecessor has to cut its connections and to exit, in milliseconds. */
const CUT_LIMIT_MS = 5000;
/** Time that an abandoned successor has to exit, in milliseconds. */
const STOP_LIMIT_MS = 2000;
/** The line that a successor sends after its startup result when it is stopped. */
const STOP = "stop";
/**
 * The interval of checks whether a stopping predecessor has exited, in milliseconds: no event says
 * so.
 */
const STOP_CHECK_MS = 20;
/** The same for a draining predecessor, which may take hours. */
const DRAIN_CHECK_MS = 1000;

/** The process that takes over, as its predecessor sees it. */
export interface Successor {
  /** 0 until it is started. */
  readonly pid: number;
  /** Why it cannot serve, one line each; empty: it serves, and is no child of this process. */
  readonly problems: Promise<readonly string[]>;
  /**
   * Ends a successor that does not serve yet: by SIGTERM, and by SIGKILL if it hangs, together with
   * its workers. Fulfilled when it has exited or was killed.
   */
  stop(): Promise<void>;
}

export interface SuccessorOptions {
  readonly handover: Handover;
  /** The text read from standard input, for the successor to read again. */
  readonly input?: string;
  /**
   * Called when it was stopped: its predecessor, which still serves connections, should stop too.
   */
  onStop(): void;
  readonly limitMs?: number;
}

/**
 * Starts the program by a launcher (see `launcher.ts`), in its original working directory; if that no
 * longer exists, in `/`, with relative paths still resolved against the original one. Throws an Error
 * if no process can be started.
 */
export function spawnSuccessor(
  { libc, self }: Pick<Runtime, "libc" | "self">,
  { command, argv, workingDirectory, environment }: Program,
  { handover, input, onStop, limitMs = START_LIMIT_MS }: SuccessorOptions,
): Successor {
  const successors = renumbered({ ...handover, workingDirectory }, HANDOVER_FD + 1);
  const handoverFd = writeHandover(libc, successors.handover);
  const descriptors = HANDOVER_FD + 1 + successors.fds.length;
  const passed = [handoverFd, ...successors.fds].map((fd) => copyFrom(libc, fd, descriptors));
  const stdin = input === undefined ? "ignore" : "pipe";
  try {
    if (passed.some((fd) => fd < 0)) throw new Error("the limit of open files is reached");
    assertCanStart(libc, 0);
    const launch = { command: [...command, ...argv], isDetached: handover.isDaemon, descriptors };
    const launcher = spawn(self[0]!, [...self.slice(1), ...launchWords(launch)], {
      // For the list of processes.
      argv0: process.execPath,
      cwd: canEnter(workingDirectory) ? workingDirectory : "/",
      stdio: [stdin, "inherit", "inherit", "pipe", ...passed],
      env: launcherEnvironment(environment),
    });
    launcher.stdin?.on("error", () => {}).end(input);
    let pid = 0;
    const exited = new Promise<void>((resolve) => launcher.on("exit", () => resolve()));
    let started = () => {};
    const isStarted = Promise.race([exited, new Promise<void>((resolve) => started = resolve)]);
    const result = awaitStartupResult(launcher, {
      name: "the new process",
      limitMs,
      failed: (problem, code) => ({ code, output: [], problems: [problem] }),
      started(reported) {
        pid = reported;
        started();
      },
      later: (line) => line === STOP && onStop(),
    });
    const problems = result.then(async ({ code, problems }) => {
      if (code === 0) {
        await isStarted;
        signal(launcher.pid, "SIGKILL");
        await exited;
        return [];
      }
      release(launcher);
      return problems.length > 0 ? problems : [`the new process exited (status ${code})`];
    });
    const stop = async () => {
      if (pid === 0) await inTime([isStarted], STOP_LIMIT_MS);
      if (pid === 0) {
        // A launcher that ends before it has reported its process would leave that behind.
        const unreported = children(launcher);
        const all = [launcher, ...unreported, ...unreported.flatMap(children)];
        for (const each of all) signal(each.pid, "SIGKILL");
        return;
      }
      signal(pid, "SIGTERM");
      await inTime([exited], STOP_LIMIT_MS);
      if (launcher.exitCode === null && launcher.signalCode === null) {
        // Its workers may hang too, and would keep the sockets.
        const workers = childrenOf(pid);
        signal(pid, "SIGKILL");
        for (const worker of workers) signal(worker.pid, "SIGKILL");
      }
    };
    return {
      get pid() {
        return pid;
      },
      problems,
      stop,
    };
  } finally {
    for (const fd of [handoverFd, ...passed]) libc.close(fd);
  }
}

function canEnter(directory: string): boolean {
  try {
    accessSync(`${directory}/.`, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** True in the process that {@link spawnSuccessor} started. Removes the marker, so call it once. */
export function isSuccessor(
  environment: Record<string, string | undefined> = process.env,
  parent: number = process.ppid,
): boolean {
  return takeMarker(MARKER, environment, parent);
}

/** The process that this one replaces. */
export class Predecessor {
  readonly handover: Handover;
  private readonly libc: Libc;
  private hasHandedOver = false;
  private hasExited = false;
  private hasReadAll = false;
  /** Called when it has exited, after its last connection. */
  onExit: () => void = () => {};

  /** To be made in a successor. Throws a UsageError if it cannot take over. */
  constructor(libc: Libc) {
    this.libc = libc;
    // By its end the predecessor learns that this process has exited.
    keepFromChildren(libc, STARTUP_RESULT_FD);
    this.handover = readHandover(libc, HANDOVER_FD);
  }

  /** Reports to it that this process serves. False if it has gone, so that this one should exit. */
  handOver(): boolean {
    this.hasHandedOver = reportStartupResult(this.libc, { code: 0, output: [], problems: [] });
    if (this.hasHandedOver) this.closeWhenExited();
    return this.hasHandedOver;
  }

  /**
   * Asks it to stop if it still serves connections. Fulfilled when it has exited, or after
   * `limitMs` milliseconds.
   */
  async stop(limitMs: number): Promise<void> {
    if (!this.hasHandedOver || !this.isRunning) return;
    writeLine(this.libc, STOP);
    const deadline = performance.now() + limitMs;
    while (this.isRunning && performance.now() < deadline) await pause();
  }

  /** Makes a predecessor that was asked to stop cut its connections; one that hangs is killed. */
  cut(): void {
    this.signal("SIGTERM");
    setTimeout(() => this.signal("SIGKILL"), CUT_LIMIT_MS).unref();
  }

  /**
   * Returns all that it has counted since its start, if that can be read now. `isFinal`: it has exited,
   * and further calls return undefined.
   */
  lateCounts():
    | { readonly numbers: readonly CountedSeries[] | undefined; readonly isFinal: boolean }
    | undefined {
    const { lateCounts: fd } = this.handover;
    if (fd === undefined || this.hasReadAll) return undefined;
    // Looked at first: what it writes last is read then.
    const isFinal = this.hasHandedOver && !this.isRunning;
    const numbers = readLateCounts(fd);
    if (isFinal) closeInherited(this.libc, fd);
    this.hasReadAll = isFinal;
    return { numbers, isFinal };
  }

  private signal(name: "SIGTERM" | "SIGKILL"): void {
    if (this.hasHandedOver && this.isRunning) signal(this.handover.pid, name);
  }

  /** Closes the pipe to it when it has exited, after its last connection. */
  private closeWhenExited(): void {
    const timer = setInterval(() => {
      if (this.isRunning) return;
      clearInterval(timer);
      closeInherited(this.libc, STARTUP_RESULT_FD);
      this.onExit();
    }, DRAIN_CHECK_MS);
  }

  /** It alone has the pipe's other end. Another process can have its pid, and it is no parent. */
  private get isRunning(): boolean {
    this.hasExited ||= isPeerGone(this.libc, STARTUP_RESULT_FD);
    return !this.hasExited;
  }
}

function children({ pid }: { readonly pid?: number | undefined }): Child[] {
  return pid === undefined ? [] : childrenOf(pid);
}

function signal(pid: number | undefined, name: "SIGTERM" | "SIGKILL"): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, name);
  } catch {
    // It has just exited.
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, STOP_CHECK_MS));
}
