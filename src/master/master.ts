import type { Frontend, Ids, StartOrder } from "../control/messages.ts";
import { UsageError } from "../errors.ts";
import type { Log, LogEntry } from "../log.ts";
import { formatEndpoint } from "../options/address.ts";
import { PR_SET_NO_NEW_PRIVS } from "../platform.ts";
import type { Runtime } from "../runtime/types.ts";
import { FIRST_SOCKET_FD } from "../worker/command_line.ts";
import type { Prepared } from "./prepare.ts";
import { Slot } from "./slot.ts";
import { assertFree, openListeners } from "./sockets.ts";
import { type WorkerExit, WorkerProcess } from "./worker_process.ts";

const CHECK_INTERVAL_MS = 1000;
/** A slot that nobody serves for this long has its queue served by another worker as well. */
const ADOPT_AFTER_MS = 1000;
/** How long workers may take to obey SIGTERM. */
const STOP_LIMIT_MS = 2000;

/**
 * The parent of all workers: owns the listening sockets, keeps every slot served and writes the
 * log. It touches no connection.
 */
export class Master {
  private readonly runtime: Runtime;
  private readonly log: Log;
  private readonly sockets: readonly number[];
  private readonly frontends: readonly Frontend[];
  private readonly slots: readonly Slot[];
  private checks: ReturnType<typeof setInterval> | undefined;
  private started: { resolve(): void; reject(error: UsageError): void } | undefined;
  private stopped: (() => void) | undefined;

  /**
   * Opens the sockets. Workers become `user` once theirs are open. Throws a UsageError when an
   * address cannot be had.
   */
  constructor(runtime: Runtime, prepared: Prepared, log: Log, user?: Ids) {
    const { config, endpoints, certificates, backend, backendSources } = prepared;
    this.runtime = runtime;
    this.log = log;
    const opened = endpoints.map((endpoint) => {
      if (runtime.capabilities.adoptSockets) {
        return openListeners(runtime.libc, endpoint, config.workers, config);
      }
      assertFree(runtime.libc, endpoint);
      return [];
    });
    this.sockets = opened.flat();
    let fd = FIRST_SOCKET_FD;
    this.frontends = endpoints.map((endpoint, i) => ({
      endpoint,
      fds: opened[i]!.map(() => fd++),
    }));
    this.slots = Array.from({ length: config.workers }, (_, index) => {
      const slot = index + 1;
      const order: StartOrder = {
        type: "start",
        slot,
        config,
        certificates,
        backend,
        backendSources,
        frontends: this.frontends,
        ...(user ? { user } : {}),
      };
      return this.slot(slot, order);
    });
  }

  /**
   * Starts the workers; fulfilled when all of them accept connections. Rejected with a UsageError
   * when one cannot start, after the others have been ended.
   */
  start(): Promise<void> {
    // Workers are born with it; set in one of their threads it would hold for that one only.
    this.runtime.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      for (const slot of this.slots) slot.fill();
    });
  }

  /** Ends all workers; fulfilled when the last one is gone. */
  stop(): Promise<void> {
    clearInterval(this.checks);
    return new Promise((resolve) => {
      this.stopped = resolve;
      for (const slot of this.slots) slot.empty("SIGTERM");
      setTimeout(() => this.slots.forEach((slot) => slot.empty("SIGKILL")), STOP_LIMIT_MS).unref();
      this.resolveStopped();
    });
  }

  private slot(number: number, order: StartOrder): Slot {
    return new Slot(number, order, {
      spawn: () => new WorkerProcess(this.runtime, number, this.sockets),
      ready: (slot) => this.slotReady(slot),
      exited: (slot, pid, exit, delay) => this.workerExited(slot, pid, exit, delay),
      failed: (slot, message) => this.workerFailed(slot, message),
      log: this.log,
    });
  }

  private slotReady(slot: Slot): void {
    const pid = slot.pid ?? 0;
    this.note("info", "worker-started", `serves, pid ${pid}`, {
      worker: slot.number,
      pid,
    });
    this.release(slot);
    // Its successor knows nothing of the queues that the last worker served for others.
    for (const orphan of this.slots) if (orphan.adopter === slot) orphan.adopter = undefined;
    if (!this.started || !this.slots.every((each) => each.isServing)) return;
    const frontends = this.frontends.map(({ endpoint }) => formatEndpoint(endpoint)).join(" ");
    const workers = this.slots.length;
    this.note("info", "ready", `listening on ${frontends}, workers: ${workers}`, {
      frontends,
      workers,
    });
    this.checks = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.started.resolve();
    this.started = undefined;
  }

  private workerExited(slot: Slot, pid: number, exit: WorkerExit, delay: number): void {
    if (this.stopped) return this.resolveStopped();
    if (this.started) return this.workerFailed(slot, `it ended at once (${describe(exit)})`);
    const when = delay === 0 ? "at once" : `in ${delay} ms`;
    const message = `pid ${pid} ended (${describe(exit)}); its successor starts ${when}`;
    this.note("error", "worker-exited", message, {
      worker: slot.number,
      pid,
      ...(exit.code === null ? {} : { code: exit.code }),
      ...(exit.signal === null ? {} : { signal: exit.signal }),
    });
  }

  private workerFailed(slot: Slot, reason: string): void {
    const worker = slot.number;
    if (!this.started) {
      return this.note("error", "worker-failed", `cannot serve: ${reason}`, { worker });
    }
    const { reject } = this.started;
    this.started = undefined;
    this.stop().then(() => reject(new UsageError(`worker ${worker} cannot serve: ${reason}`)));
  }

  /** Every second: are all workers alive, and is every queue served? */
  private check(): void {
    for (const slot of this.slots) slot.check();
    if (!this.runtime.capabilities.adoptSockets) return;
    for (const slot of this.slots) {
      if (slot.isServing) this.release(slot);
      else if (slot.age > ADOPT_AFTER_MS && !slot.adopter?.isServing) this.findAdopter(slot);
    }
  }

  private findAdopter(orphan: Slot): void {
    const adopter = this.slots.find((slot) => slot.isServing);
    if (!adopter) return;
    // An adopter that hangs itself finds this when it goes on.
    this.release(orphan);
    orphan.adopter = adopter;
    adopter.send({ type: "adopt", slot: orphan.number });
    const message = `is away; worker ${adopter.number} serves its queue as well`;
    this.note("warn", "slot-adopted", message, {
      worker: orphan.number,
      adopter: adopter.number,
    });
  }

  private release(slot: Slot): void {
    slot.adopter?.send({ type: "release", slot: slot.number });
    slot.adopter = undefined;
  }

  private resolveStopped(): void {
    if (this.slots.every((slot) => slot.isEmpty)) this.stopped?.();
  }

  private note(
    level: LogEntry["level"],
    event: string,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    this.log({ level, event, message, facts });
  }
}

function describe({ code, signal }: WorkerExit): string {
  return signal ? `signal ${signal}` : `status ${code}`;
}
