/**
 * SIGUSR2: a running master starts the program again, which may be another version by now, leaves
 * it the listening sockets, and learns by a verdict whether it serves.
 */
import { spawn } from "node:child_process";
import type { Libc } from "../os/libc.ts";
import { closeInherited, copyFrom } from "../os/descriptors.ts";
import { type Handover, readHandover, renumbered, writeHandover } from "./handover.ts";
import type { Program } from "./program.ts";
import {
  awaitStartupResult,
  letGo,
  reportStartupResult,
  STARTUP_RESULT_FD,
  takeMark,
  tell,
} from "./startup_result.ts";

/** The variable that tells a successor who its predecessor is; no worker ever sees it. */
const MARKER = "STUD_UPGRADE";
const HANDOVER_FD = STARTUP_RESULT_FD + 1;
/** Many certificates and workers take their time; a hang must not. */
const START_LIMIT_MS = 120_000;
/** What a successor says, after its verdict, when it is stopped. */
const STOP = "stop";
/** How often a process that ends is looked at; nothing tells of the end of a parent. */
const LOOK_MS = 20;
/** The same for one that is not asked to end, and may live for hours. */
const FORGET_LOOK_MS = 1000;

/** The program that takes over, as its predecessor sees it. */
export interface Successor {
  readonly pid: number;
  /** What keeps it from serving, one line each; empty: it serves. */
  readonly problems: Promise<readonly string[]>;
  /** Asks it to stop; for one that does not yet serve. */
  stop(): void;
}

export interface SuccessorOptions {
  readonly handover: Handover;
  /** What was read from standard input, to be read again. */
  readonly input?: string;
  /** It was told to stop, and who still serves connections here should end as well. */
  onStop(): void;
  readonly limitMs?: number;
}

/**
 * Starts the program in the directory in which it was started first. Throws an Error when no process
 * can be had.
 */
export function spawnSuccessor(
  libc: Libc,
  { command, argv, workingDirectory, environment }: Program,
  { handover, input, onStop, limitMs = START_LIMIT_MS }: SuccessorOptions,
): Successor {
  const heirs = renumbered(handover, HANDOVER_FD + 1);
  const handoverFd = writeHandover(libc, heirs.handover);
  const least = HANDOVER_FD + 1 + heirs.fds.length;
  const passed = [handoverFd, ...heirs.fds].map((fd) => copyFrom(libc, fd, least));
  const stdin = input === undefined ? "ignore" : "pipe";
  try {
    if (passed.some((fd) => fd < 0)) throw new Error("the limit of open files is reached");
    const child = spawn(command[0]!, [...command.slice(1), ...argv], {
      cwd: workingDirectory,
      detached: handover.isDaemon,
      stdio: [stdin, "inherit", "inherit", "pipe", ...passed],
      env: { ...environment, [MARKER]: String(process.pid) },
    });
    child.stdin?.on("error", () => {}).end(input);
    const result = awaitStartupResult(child, {
      name: "the new program",
      limitMs,
      failed: (problem, code) => ({ code, output: [], problems: [problem] }),
      later: (line) => line === STOP && onStop(),
    });
    const problems = result.then(({ code, problems }) => {
      if (code === 0) return [];
      letGo(child);
      return problems.length > 0 ? problems : [`the new program ended (status ${code})`];
    });
    return { pid: child.pid ?? 0, problems, stop: () => child.kill("SIGTERM") };
  } finally {
    for (const fd of [handoverFd, ...passed]) libc.close(fd);
  }
}

/** True in the process that {@link spawnSuccessor} started. Ask once: the mark is taken away. */
export function isSuccessor(
  environment: Record<string, string | undefined> = process.env,
  parent: number = process.ppid,
): boolean {
  return takeMark(MARKER, environment, parent);
}

/** The program whose place this one takes. */
export class Predecessor {
  readonly handover: Handover;
  private readonly libc: Libc;
  private readonly pid = process.ppid;
  private hasHandedOver = false;

  /** For a process that is a successor. Throws a UsageError when it cannot take over. */
  constructor(libc: Libc) {
    this.libc = libc;
    this.handover = readHandover(libc, HANDOVER_FD);
  }

  /** Tells it that this process serves. False when it waits no more: this one should end. */
  handOver(): boolean {
    this.hasHandedOver = reportStartupResult(this.libc, { code: 0, output: [], problems: [] });
    if (this.hasHandedOver) this.forgetLater();
    return this.hasHandedOver;
  }

  /**
   * Asks it to end too, if it still serves connections. Fulfilled when it is gone, or after
   * `limitMs` milliseconds.
   */
  async stop(limitMs: number): Promise<void> {
    if (!this.hasHandedOver || !this.lives) return;
    tell(this.libc, STOP);
    const deadline = performance.now() + limitMs;
    while (this.lives && performance.now() < deadline) await pause();
  }

  /** Makes it cut the connections that it still serves; for one that was asked to stop. */
  cut(): void {
    if (!this.hasHandedOver || !this.lives) return;
    try {
      process.kill(this.pid, "SIGTERM");
    } catch {
      // It has just ended.
    }
  }

  /** The way to it is closed when it is gone; that may take as long as its last connection. */
  private forgetLater(): void {
    const timer = setInterval(() => {
      if (this.lives) return;
      clearInterval(timer);
      closeInherited(this.libc, STARTUP_RESULT_FD);
    }, FORGET_LOOK_MS);
  }

  /** Orphans get another parent, so that no number can be mistaken for it. */
  private get lives(): boolean {
    return process.ppid === this.pid;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
