import { LoopDelay } from "../base/loop_delay.ts";
import type { Facts } from "../status/facts.ts";
import type { MetricFamily } from "../status/metric.ts";
import type { Counts } from "./counts.ts";
import { metricsOf } from "./metrics.ts";
import { guarded } from "../log/guarded.ts";
import type { Log } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";
import { PR_SET_NO_NEW_PRIVS } from "../os/constants.ts";
import type { ProbeResult } from "./backend/backend_probe.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TicketState } from "../tickets/tickets.ts";
import { emptyQueues } from "./listeners/empty_queues.ts";
import type { HeldAddress } from "./listeners/held_address.ts";
import { Listeners } from "./listeners/listeners.ts";
import { MasterLog } from "./master_log.ts";
import { frontendsText, type Prepared } from "./prepare.ts";
import { type BegunReload, Reloader } from "./reloader.ts";
import type { MasterProblemFacts } from "../status/problems.ts";
import { frontendsStatus, generationsStatus, type MasterFacts, workersStatus } from "./status.ts";
import { type InheritedState, WorkerServices } from "./worker_services.ts";
import type { Generation } from "./workers/generation.ts";
import { Generations, olderText } from "./workers/generations.ts";
import { resumedText } from "./workers/statistics.ts";

const CHECK_INTERVAL_MS = 1000;
/** Threads that look up names, read files and start processes at the same time. */
const POOL_THREADS = 4;

/** What a predecessor passes to this master. */
export interface Inherited extends InheritedState {
  readonly addresses: readonly HeldAddress[];
}

/**
 * The parent of all workers: owns the listening sockets, keeps a worker in every slot and writes
 * the log. It handles no connection.
 */
export class Master {
  readonly generations: Generations;
  private readonly runtime: Runtime;
  private readonly masterLog: MasterLog;
  private readonly log: Log;
  private readonly listeners: Listeners;
  private readonly services: WorkerServices;
  private readonly reloader: Reloader;
  private checks: ReturnType<typeof setInterval> | undefined;
  private loopDelay: LoopDelay | undefined;
  /** Overrides that of the configuration. */
  private logLevel: LogConfig["level"] | undefined;
  private resolveCut: () => void = () => {};
  private readonly isCut = new Promise<void>((resolve) => this.resolveCut = resolve);

  /** `inherited` is present if this master replaces another one. */
  constructor(runtime: Runtime, prepared: Prepared, output: Log, inherited?: Inherited) {
    this.runtime = runtime;
    this.masterLog = new MasterLog(
      output,
      () => this.logLevel ?? this.prepared.config.log.level,
    );
    const log = this.log = this.masterLog.own;
    const generations = this.generations = new Generations(log);
    const listeners = this.listeners = new Listeners(runtime, log, inherited?.addresses);
    this.services = new WorkerServices(
      { runtime, log: this.masterLog, generations, listeners },
      prepared,
      inherited,
    );
    this.reloader = new Reloader({ runtime, log, generations, listeners, services: this.services });
  }

  /**
   * Opens the sockets and starts the workers. Fulfilled when all of them accept connections.
   * Rejected with a UsageError if an address cannot be opened or a worker cannot start.
   */
  async start(): Promise<void> {
    this.runtime.keepProgram();
    this.runtime.startThreads(POOL_THREADS);
    // Workers inherit it; set in a worker it would apply to one of its threads only.
    this.runtime.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // A store may answer while the workers start.
    this.services.tickets?.check();
    this.checks = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    await this.reloader.start(this.prepared);
    const { workers } = this.prepared.config;
    const frontends = frontendsText(this.prepared);
    const message = `listening on ${frontends}, workers: ${workers}`;
    this.log({ level: "info", event: "ready", message, facts: { frontends, workers } });
  }

  /**
   * Whether a reload to this configuration can begin now or must wait until a generation has ended.
   */
  hasRoomFor(prepared: Prepared): boolean {
    return this.reloader.hasRoomFor(prepared);
  }

  /** See {@link Reloader.begin}. */
  begin(prepared: Prepared): Promise<BegunReload> {
    return this.reloader.begin(prepared);
  }

  /** See {@link Reloader.commit}. */
  commit(begun: BegunReload): Promise<void> {
    return this.reloader.commit(begun);
  }

  /** Whether at least one worker accepts connections and answers. */
  get isServing(): boolean {
    return this.current?.isServing ?? false;
  }

  /** Sets the log level of this process and of all workers, until a configuration has another one. */
  setLogLevel(level: LogConfig["level"]): void {
    this.logLevel = level;
    for (const generation of this.generations.living) {
      generation.update({ logLevel: level }, { type: "log-level", level });
    }
  }

  /** One line about the service, for the service manager. */
  get summary(): string {
    const { workers } = this.prepared.config;
    const { generation, older, connections } = this.generations.census();
    return `listening on ${frontendsText(this.prepared)}, workers: ${workers}, ` +
      `generation ${generation}, connections: ${this.current?.open ?? 0}` +
      resumedText(this.services.counts.totals) + olderText(older, connections);
  }

  /** Its parts of the status document. */
  status(): MasterFacts {
    const { generations, prepared } = this;
    return {
      generations: generationsStatus(generations),
      workers: workersStatus(generations),
      frontends: frontendsStatus(prepared, this.services.counted),
      ...this.services.status(Date.now()),
    };
  }

  /** See {@link WorkerServices.backendProbe}. */
  get backendProbe(): ProbeResult | undefined {
    return this.services.backendProbe;
  }

  /** What it contributes to the problems at `now`, in milliseconds since 1970. */
  problemFacts(now: number): MasterProblemFacts {
    const { services, current, prepared } = this;
    return {
      ...services.problemFacts(now),
      crashes: current?.recentCrashes ?? [],
      maxGenerations: prepared.config.maxGenerations,
    };
  }

  /** All metrics; `facts` is the rest of the status document. */
  metrics(facts: Facts): MetricFamily[] {
    return metricsOf(facts, this.services.counted);
  }

  /** What is counted; it outlives workers and this process. */
  get counts(): Counts {
    return this.services.counts;
  }

  /** The longest recent delay of its event loop, which is measured from the first call on. */
  get loopDelayMs(): number {
    this.loopDelay ??= new LoopDelay();
    return this.loopDelay.recentMs;
  }

  /** The listening sockets that a successor must inherit so that no connection is refused. */
  get addresses(): readonly HeldAddress[] {
    return this.listeners.held;
  }

  /** The ticket keys that a successor must inherit so that clients can resume their sessions. */
  get ticketState(): TicketState | undefined {
    return this.services.tickets?.state;
  }

  /** Becomes the only owner of the inherited sockets: the predecessor drains. Never throws. */
  takeOver(): void {
    const { log } = this;
    void guarded(log, () => this.listeners.takeOver());
    void guarded(log, () => this.services.affinity.use(this.prepared.config));
    void guarded(
      log,
      () => this.current!.update({ sharesSockets: false }, { type: "sockets-owned" }),
    );
  }

  /** Opens the access log again after rotation. */
  reopenAccessLog(): void {
    this.services.accessLogs.reopen();
  }

  /** Undoes what a successor that has failed changed in the sockets that both had. */
  keepSockets(): void {
    this.listeners.applySettings();
  }

  /**
   * Drains all workers, since a successor serves the same addresses. Fulfilled when all have
   * exited; never rejected.
   */
  async handOver(): Promise<void> {
    const { log } = this;
    const services = this.services.stop();
    void guarded(log, () => this.listeners.handOver());
    const hasEnded = this.generations.ended();
    const { reloadDrainTimeout } = this.prepared.config;
    void guarded(log, () => this.generations.drain(this.current!, reloadDrainTimeout));
    await Promise.all([hasEnded, services]);
    await guarded(log, () => this.services.accessLogs.stop());
  }

  /**
   * Refuses new connections, accepts those that already wait, and drains all workers; after
   * `limitMs` milliseconds, or at `cut`, cuts the connections that are still open. Fulfilled with
   * their number when all workers have exited; never rejected: a step that fails is logged.
   */
  async stop(limitMs: number): Promise<number> {
    const { log, generations, listeners, services } = this;
    this.reloader.stop();
    const servicesStopped = services.stop();
    // A service manager may have sent its signal to all processes.
    for (const generation of generations.serving) {
      void guarded(log, () => generation.refuseSuccessors());
    }
    if (limitMs > 0) {
      const isEmpty = guarded(log, () => emptyQueues(this.runtime.libc, listeners.withdraw()));
      await Promise.race([isEmpty, this.isCut]);
    }
    const { serving } = generations;
    const hasEnded = generations.ended();
    // Their answers contain the number of connections that may be cut.
    await Promise.all(serving.map((generation) => guarded(log, () => generation.drain())));
    void guarded(log, () => services.statistics.logNow(this.current?.slots ?? []));
    const limit = setTimeout(() => this.cut(), limitMs);
    await Promise.race([hasEnded, this.isCut]);
    clearTimeout(limit);
    const open = serving.reduce((sum, generation) => sum + generation.open, 0);
    for (const generation of serving) void guarded(log, () => generation.cut());
    await Promise.all([hasEnded, servicesStopped]);
    await guarded(log, () => services.accessLogs.stop());
    clearInterval(this.checks);
    void guarded(log, () => listeners.close());
    this.masterLog.flush();
    return open;
  }

  /** Makes a stop, now or later, cut the connections that it waits for. */
  cut(): void {
    this.resolveCut();
  }

  private get current(): Generation | undefined {
    return this.generations.current;
  }

  /** The configuration in use. */
  private get prepared(): Prepared {
    return this.services.prepared;
  }

  private check(): void {
    const { generations, log } = this;
    void guarded(log, () => generations.living.forEach((generation) => generation.check()));
    if (generations.current) this.services.check(generations.current.slots);
  }
}
