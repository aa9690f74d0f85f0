import type { Log, LogEntry } from "../log.ts";
import { formatEndpoint } from "../options/address.ts";
import { PR_SET_NO_NEW_PRIVS } from "../platform.ts";
import type { Runtime } from "../runtime/types.ts";
import { BackendName } from "./backend_name.ts";
import { Generation } from "./generation.ts";
import { Listeners } from "./listeners.ts";
import { differsInCertificatesOnly, startOrders } from "./orders.ts";
import type { Prepared } from "./prepare.ts";
import type { HeldAddress } from "../system/estate.ts";
import { Stapling } from "./stapling.ts";
import { WorkerProcess } from "./worker_process.ts";

const CHECK_INTERVAL_MS = 1000;
/** How long workers may take to obey SIGTERM. */
const STOP_LIMIT_MS = 2000;

/**
 * The parent of all workers: owns the listening sockets, keeps every slot served and writes the
 * log. It touches no connection.
 */
export class Master {
  private readonly runtime: Runtime;
  private readonly log: Log;
  private readonly listeners: Listeners;
  private prepared: Prepared;
  private current: Generation | undefined;
  /** Not yet serving. */
  private next: Generation | undefined;
  /** Older ones, which serve the connections that they have. */
  private readonly retired = new Set<Generation>();
  private generations = 0;
  private readonly backendName: BackendName;
  private readonly stapling: Stapling;
  private checks: ReturnType<typeof setInterval> | undefined;
  private stopped: (() => void) | undefined;

  /** `inherited` are the addresses of a master whose place this one takes. */
  constructor(
    runtime: Runtime,
    prepared: Prepared,
    log: Log,
    inherited: readonly HeldAddress[] = [],
  ) {
    this.runtime = runtime;
    this.log = log;
    this.prepared = prepared;
    this.listeners = new Listeners(runtime, inherited);
    this.stapling = new Stapling(runtime, log, (order) => {
      for (const slot of this.current?.slots ?? []) slot.send(order);
    });
    this.backendName = new BackendName(runtime.libc, log, (backend) => {
      this.prepared = { ...this.prepared, backend };
      this.current?.update({ backend }, { type: "backend", backend });
    });
  }

  /**
   * Opens the sockets and starts the workers; fulfilled when all of them accept connections.
   * Rejected with a UsageError when an address cannot be had or a worker cannot start.
   */
  async start(): Promise<void> {
    // Workers are born with it; set in one of their threads it would hold for that one only.
    this.runtime.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    await this.begin(this.prepared);
    this.checks = setInterval(() => this.current!.check(), CHECK_INTERVAL_MS);
    const workers = this.prepared.config.workers;
    const frontends = this.frontends();
    this.note("info", "ready", `listening on ${frontends}, workers: ${workers}`, {
      frontends,
      workers,
    });
  }

  /**
   * Serves another configuration from now on: in place when only certificates differ, else by new
   * workers, while the old ones keep the connections that they have. Rejected with a UsageError
   * when that cannot be; then nothing has changed.
   */
  async reload(prepared: Prepared): Promise<void> {
    const { swapCertificates } = this.runtime.capabilities;
    if (swapCertificates && differsInCertificatesOnly(this.prepared, prepared)) {
      const { tls, backend } = prepared;
      this.current!.update({ tls }, { type: "tls", tls });
      this.current!.update({ backend }, { type: "backend", backend });
      this.use(prepared, this.current!);
      this.note("info", "reloaded", "certificates were loaded anew", {});
      return;
    }
    const old = this.current!;
    await this.begin(prepared);
    this.retired.add(old);
    old.retire();
    const frontends = this.frontends();
    const message = `the configuration was loaded anew: listening on ${frontends}, workers: ` +
      `${prepared.config.workers}, generation ${this.generations}`;
    this.note("info", "reloaded", message, {
      frontends,
      workers: prepared.config.workers,
      generation: this.generations,
    });
  }

  /** What a successor has to inherit so that no connection is refused. */
  get addresses(): readonly HeldAddress[] {
    return this.listeners.held;
  }

  /** The master whose addresses were inherited leaves them to this one. */
  takeOver(): void {
    this.listeners.takeOver();
  }

  /**
   * A successor serves the same addresses: workers accept no more and leave with their last
   * connections. Fulfilled when all of them are gone.
   */
  async retire(): Promise<void> {
    this.backendName.stop();
    this.listeners.leave();
    const old = this.current!;
    const workers = new Promise<void>((resolve) => {
      this.stopped = resolve;
      this.retired.add(old);
      old.retire();
    });
    await Promise.all([workers, this.stapling.stop()]);
  }

  /** Ends all workers; fulfilled when the last one is gone. */
  async stop(): Promise<void> {
    clearInterval(this.checks);
    this.backendName.stop();
    const all = [...this.retired, this.current, this.next].filter((each) => each !== undefined);
    const workers = new Promise<void>((resolve) => {
      this.stopped = () => {
        this.listeners.close();
        resolve();
      };
      for (const generation of all) generation.end("SIGTERM");
      setTimeout(() => all.forEach((each) => each.end("SIGKILL")), STOP_LIMIT_MS).unref();
      this.tellStopped();
    });
    await Promise.all([workers, this.stapling.stop()]);
  }

  /** Makes a generation for this configuration the current one. */
  private async begin(prepared: Prepared): Promise<void> {
    const { config, listeners } = prepared;
    const claim = this.listeners.claim(listeners, config.workers, config);
    const sockets = [...new Set(claim.fds.flat())];
    const inherited = [prepared.storeFd, ...sockets];
    const generation = new Generation(
      this.generations + 1,
      startOrders(prepared, claim, sockets),
      this.runtime.capabilities.adoptSockets,
      {
        spawn: (slot) => new WorkerProcess(this.runtime, slot, inherited),
        log: (entry) => this.workerSays(entry),
        ready: (slot) => generation === this.current && this.stapling.tell(slot),
        empty: (empty) => this.generationEmpty(empty),
      },
    );
    this.next = generation;
    try {
      await generation.start();
    } catch (error) {
      claim.drop();
      throw error;
    } finally {
      this.next = undefined;
    }
    this.generations++;
    claim.keep();
    this.use(prepared, generation);
  }

  /** The generation serves this configuration: what goes with it begins. */
  private use(prepared: Prepared, generation: Generation): void {
    this.prepared = prepared;
    this.current = generation;
    this.backendName.watch(prepared.config, prepared.backend);
    this.stapling.begin(prepared.stapling);
    for (const slot of generation.slots) this.stapling.tell(slot);
  }

  private workerSays(entry: LogEntry): void {
    this.log(entry);
    if (entry.facts.source === "backend") this.backendName.failed();
  }

  private generationEmpty(generation: Generation): void {
    if (this.retired.delete(generation) && !this.stopped) {
      const message = `the last connection of generation ${generation.number} has ended`;
      this.note("info", "generation-ended", message, { generation: generation.number });
    }
    this.tellStopped();
  }

  private tellStopped(): void {
    const isOver = [this.current, this.next].every((each) => each?.isEmpty ?? true);
    if (isOver && this.retired.size === 0) this.stopped?.();
  }

  private frontends(): string {
    return this.prepared.listeners.map(({ endpoint }) => formatEndpoint(endpoint)).join(" ");
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
