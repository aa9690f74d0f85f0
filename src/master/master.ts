import { inTime } from "../base/in_time.ts";
import { sharedClock } from "../base/clock.ts";
import { CounterTotals } from "../base/counters.ts";
import { UsageError } from "../base/errors.ts";
import type { SharedEventHandlers } from "../worker_protocol/messages.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import { guarded } from "../log/guarded.ts";
import { formatEndpoint } from "../options/address.ts";
import { PR_SET_NO_NEW_PRIVS } from "../os/constants.ts";
import { LogRateLimiter } from "../log/rate_limiter.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { queuesEmptied } from "../os/listen_queue.ts";
import { Affinity } from "./listeners/affinity.ts";
import { BackendName } from "./backend/backend_name.ts";
import { BackendState } from "./backend/backend_state.ts";
import { ConnectionQuotas } from "./workers/connection_quota.ts";
import { Generation } from "./workers/generation.ts";
import { Generations } from "./workers/generations.ts";
import { type Claim, Listeners } from "./listeners/listeners.ts";
import { differsInCertificatesOnly, startCommands } from "./workers/start_commands.ts";
import type { Prepared } from "./prepare.ts";
import type { Slot } from "./workers/slot.ts";
import type { HeldAddress } from "./listeners/held_address.ts";
import { Sessions } from "../sessions/sessions.ts";
import { Stapling } from "../ocsp/stapling.ts";
import { resumedText, Statistics } from "./workers/statistics.ts";
import type { TicketRing } from "../tickets/ring.ts";
import { spawnStore, StoreHelper } from "../tickets/store_master.ts";
import { Tickets, type TicketState } from "../tickets/tickets.ts";
import { WorkerProcess } from "./workers/worker_process.ts";

const CHECK_INTERVAL_MS = 1000;
/**
 * The longest that a queue which nobody empties is waited for, in milliseconds. Where a worker hangs,
 * it takes two seconds until another one serves its queue.
 */
const QUEUE_LIMIT_MS = 5000;
/** The longest that a stop waits for the helpers, which have nothing to lose, in milliseconds. */
const HELPER_LIMIT_MS = 2000;

/**
 * A reload that has begun: everything that can fail is done, and the running configuration is as it
 * was. {@link Master.commit} is to follow.
 */
export type BegunReload =
  | { readonly kind: "certificates"; readonly prepared: Prepared }
  | BegunGeneration;

interface BegunGeneration {
  readonly kind: "generation";
  readonly prepared: Prepared;
  /** Its workers accept connections. */
  readonly generation: Generation;
  readonly claim: Claim;
}

/** What a master whose place this one takes hands over. */
export interface Inherited {
  readonly addresses: readonly HeldAddress[];
  /** Where ticket keys are ours. */
  readonly tickets?: TicketState;
}

/**
 * The parent of all workers: owns the listening sockets, keeps every slot served and writes the
 * log. It touches no connection.
 */
export class Master {
  readonly generations: Generations;
  private readonly runtime: Runtime;
  /** Troubles of the master's own are summed up when they repeat. */
  private readonly log: Log;
  private readonly workersLog: Log;
  private readonly rateLimiter: LogRateLimiter;
  private readonly listeners: Listeners;
  private prepared: Prepared;
  /** What all workers since the start of this process have counted. */
  private readonly counters = new CounterTotals();
  private readonly budget = new ConnectionQuotas();
  private readonly backendName: BackendName;
  private readonly backendState: BackendState;
  private readonly stapling: Stapling;
  private readonly affinity: Affinity;
  private readonly statistics: Statistics;
  /** Absent where TLS libraries have their own. */
  private readonly tickets: Tickets | undefined;
  private readonly sessions: Sessions;
  private checks: ReturnType<typeof setInterval> | undefined;
  private isStopping = false;
  private resolveCut: () => void = () => {};
  private readonly isCut = new Promise<void>((resolve) => this.resolveCut = resolve);

  /** `inherited` is from a master whose place this one takes. */
  constructor(
    runtime: Runtime,
    prepared: Prepared,
    log: Log,
    inherited?: Inherited,
  ) {
    this.runtime = runtime;
    this.workersLog = log;
    this.prepared = prepared;
    this.rateLimiter = new LogRateLimiter(log, () => this.prepared.config.log.level);
    this.log = (entry) => isTrouble(entry) ? this.rateLimiter.log(entry) : log(entry);
    this.generations = new Generations(this.log);
    this.listeners = new Listeners(runtime, this.log, inherited?.addresses);
    if (runtime.capabilities.ticketKeys) this.tickets = this.makeTickets(inherited?.tickets);
    this.affinity = new Affinity(runtime, {
      log: this.log,
      groups: () => this.listeners.groups,
      balance: () => this.current!.update({ affinity: undefined }, { type: "balance" }),
    });
    this.statistics = new Statistics(log, runtime.capabilities.tlsFacts);
    this.sessions = new Sessions(runtime, this.log, { isSuccessor: inherited !== undefined });
    this.stapling = new Stapling(runtime, log, (command) => {
      for (const slot of this.current?.slots ?? []) slot.send(command);
    });
    this.backendName = new BackendName(runtime.libc, this.log, (backend) => {
      this.prepared = { ...this.prepared, backend };
      this.backendState.backend = formatEndpoint(backend);
      this.current?.update({ backend }, { type: "backend", backend });
    });
    this.backendState = new BackendState(
      (entry) => this.rateLimiter.log(entry),
      () => this.current?.slots.forEach((slot) => slot.send({ type: "backend-down" })),
      sharedClock(runtime.libc),
    );
  }

  /**
   * Opens the sockets and starts the workers; fulfilled when all of them accept connections.
   * Rejected with a UsageError when an address cannot be had or a worker cannot start.
   */
  async start(): Promise<void> {
    // Workers are born with it; set in one of their threads it would hold for that one only.
    this.runtime.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // A store may answer while the workers start.
    this.tickets?.check();
    const { claim } = this.succeed(await this.beginGeneration(this.prepared));
    claim.use();
    claim.keep();
    this.checks = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    const workers = this.prepared.config.workers;
    const frontends = this.frontends();
    this.note("info", "ready", `listening on ${frontends}, workers: ${workers}`, {
      frontends,
      workers,
    });
  }

  /** At least one worker accepts connections and answers. */
  get isServing(): boolean {
    return this.current?.slots.some((slot) => slot.isServing) ?? false;
  }

  /** One line about what is served, for the service manager. */
  get summary(): string {
    const { workers } = this.prepared.config;
    const { generation, older, connections } = this.generations.census();
    return `listening on ${this.frontends()}, workers: ${workers}, generation ${generation}, ` +
      `connections: ${this.current?.open ?? 0}${resumedText(this.counters)}` +
      olderText(older, connections);
  }

  /** Whether a reload to this configuration can begin now, or has to wait for a generation's end. */
  hasRoomFor(prepared: Prepared): boolean {
    return this.canSwap(prepared) || this.generations.hasRoom(prepared.config.maxGenerations);
  }

  /**
   * Begins a reload: running workers will take new certificates if nothing else differs; otherwise
   * new workers are started beside the old ones. Fulfilled when all of them accept connections.
   * Rejected with a UsageError when that fails; nothing has changed then.
   */
  async begin(prepared: Prepared): Promise<BegunReload> {
    if (!this.canSwap(prepared)) return await this.beginGeneration(prepared);
    this.sessions.open(prepared);
    return { kind: "certificates", prepared };
  }

  /**
   * Serves the configuration of a reload that has begun. Fulfilled when no older one accepts
   * connections any more; never rejected: what goes wrong is logged.
   */
  async commit(begun: BegunReload): Promise<void> {
    if (begun.kind === "certificates") await this.commitCertificates(begun.prepared);
    else await this.commitGeneration(begun);
  }

  /** What a successor has to inherit so that no connection is refused. */
  get addresses(): readonly HeldAddress[] {
    return this.listeners.held;
  }

  /** What a successor has to inherit so that clients can come back. */
  get ticketState(): TicketState | undefined {
    return this.tickets?.state;
  }

  /** The master whose addresses were inherited leaves them to this one. Never throws. */
  takeOver(): void {
    const { log } = this;
    void guarded(log, () => this.listeners.takeOver());
    void guarded(log, () => this.affinity.use(this.prepared.config));
    void guarded(
      log,
      () => this.current!.update({ sharesSockets: false }, { type: "sockets-owned" }),
    );
  }

  /** A successor has failed: what it changed of the sockets that both had is undone. */
  keepSockets(): void {
    this.listeners.applySettings();
  }

  /**
   * A successor serves the same addresses: workers accept no more and leave with their last
   * connections. Fulfilled when all of them are gone; never rejected.
   */
  async handOver(): Promise<void> {
    const { log } = this;
    void guarded(log, () => this.backendName.stop());
    const helpers = this.stopHelpers();
    void guarded(log, () => this.listeners.leave());
    const hasEnded = this.generations.end();
    const { reloadDrainTimeout } = this.prepared.config;
    void guarded(log, () => this.generations.retire(this.current!, reloadDrainTimeout));
    await Promise.all([hasEnded, helpers]);
  }

  /**
   * Refuses new connections, serves those that wait already, and ends when the last one has ended,
   * or cuts them after `limitMs` milliseconds or at `cut`. Fulfilled with the number of connections
   * that were cut, when all workers are gone; never rejected: what goes wrong is logged.
   */
  async stop(limitMs: number): Promise<number> {
    const { log } = this;
    this.isStopping = true;
    void guarded(log, () => this.backendName.stop());
    void guarded(log, () => this.generations.next?.cut());
    const helpers = this.stopHelpers();
    // A service manager may have sent its signal to all processes.
    for (const generation of this.generations.serving) {
      void guarded(log, () => generation.refuseSuccessors());
    }
    if (limitMs > 0) {
      const isEmpty = guarded(log, () => this.emptyQueues(this.listeners.withdraw()));
      await Promise.race([isEmpty, this.isCut]);
    }
    const { serving } = this.generations;
    const hasEnded = this.generations.end();
    // Their answers tell how many connections there are to be cut.
    await Promise.all(serving.map((generation) => guarded(log, () => generation.drain())));
    void guarded(log, () => this.statistics.logNow(this.current?.slots ?? []));
    const limit = setTimeout(() => this.cut(), limitMs);
    await Promise.race([hasEnded, this.isCut]);
    clearTimeout(limit);
    const open = serving.reduce((sum, generation) => sum + generation.open, 0);
    for (const generation of serving) void guarded(log, () => generation.cut());
    await Promise.all([hasEnded, helpers]);
    clearInterval(this.checks);
    void guarded(log, () => this.listeners.close());
    this.rateLimiter.flush();
    return open;
  }

  /** Makes a stop that waits for connections, now or later, cut them. */
  cut(): void {
    this.resolveCut();
  }

  /** Certificates can be exchanged in running workers, and nothing else is to be. */
  private canSwap(prepared: Prepared): boolean {
    return this.runtime.capabilities.swapCertificates &&
      differsInCertificatesOnly(this.prepared, prepared);
  }

  /**
   * Starts the workers of a configuration. No generation may be in sight of the events of the next:
   * it would live as long.
   */
  private async beginGeneration(prepared: Prepared): Promise<BegunGeneration> {
    const { config, listeners } = prepared;
    await this.listeners.left(listeners);
    if (this.isStopping) throw new UsageError("stud is stopping");
    const claim = this.listeners.claim(listeners, config.workers, config);
    // Until it is certain which of the two holds, the smaller one does.
    this.budget.total = Math.min(maxConnections(prepared), maxConnections(this.prepared));
    try {
      this.sessions.open(prepared);
      const generation = this.makeGeneration(prepared, claim);
      this.generations.next = generation;
      await generation.start();
      return { kind: "generation", prepared, generation, claim };
    } catch (error) {
      this.sessions.drop();
      this.budget.total = maxConnections(this.prepared);
      claim.drop();
      throw error;
    } finally {
      this.generations.next = undefined;
    }
  }

  /** Its workers have not been started yet. */
  private makeGeneration(prepared: Prepared, claim: Claim): Generation {
    const { config } = prepared;
    const backend = formatEndpoint(prepared.backend);
    const sockets = [...new Set(claim.fds.flat())];
    const inherited = [prepared.storeFd, ...sockets];
    const number = this.generations.nextNumber;
    const commands = startCommands(
      prepared,
      claim,
      sockets,
      this.tickets?.ring,
      this.affinity.ruleFor(config),
    );
    const { sharesSockets } = this.listeners;
    const generation: Generation = new Generation(
      number,
      commands.map((command) => ({ ...command, sharesSockets })),
      {
        adopt: this.runtime.capabilities.adoptSockets,
        watchdog: config.watchdog,
        totals: this.counters,
      },
      {
        spawn: (slot) => {
          const worker = new WorkerProcess(this.runtime, slot, number, inherited, this.log);
          return this.budget.admit(worker, config.workers);
        },
        log: this.log,
        // Where an older configuration sent its connections is no longer of interest.
        shared: this.eventHandlers(() =>
          generation === this.current || backend === this.backendState.backend
        ),
        staples: () => this.stapling.of(generation === this.current ? this.prepared : prepared),
        ready: (slot) => generation === this.current && this.tell(slot),
        empty: (empty) => this.generations.emptied(empty),
      },
    );
    return generation;
  }

  /** The generation that has begun is the current one from now on. */
  private succeed(begun: BegunGeneration): BegunGeneration {
    const { prepared, generation } = begun;
    this.generations.succeed(generation);
    this.use(prepared, generation);
    // Some may have come while the workers started.
    const staples = this.stapling.of(prepared);
    for (const slot of generation.slots) staples.forEach((staple) => slot.send(staple));
    return begun;
  }

  private async commitCertificates(prepared: Prepared): Promise<void> {
    const { log } = this;
    const { tls, backend } = prepared;
    const current = this.current!;
    await guarded(log, () => {
      const next = this.stapling.of(prepared).map((staple) => ({ ...staple, next: true } as const));
      for (const slot of current.slots) next.forEach((staple) => slot.send(staple));
    });
    await guarded(log, () => current.swap(tls));
    await guarded(log, () => current.update({ backend }, { type: "backend", backend }));
    this.use(prepared, current);
    this.note("info", "reloaded", "reloaded the configuration in the running workers", {});
  }

  private async commitGeneration(begun: BegunGeneration): Promise<void> {
    const { log } = this;
    const { claim, prepared: { config } } = begun;
    const old = this.current!;
    await guarded(log, () => void this.succeed(begun));
    // The old workers alone serve what the new configuration does not.
    await guarded(log, () => this.emptyQueues(claim.use()));
    await guarded(log, () => this.generations.retire(old, config.reloadDrainTimeout));
    await guarded(log, () => claim.keep());
    const frontends = this.frontends();
    const { generation, older, connections } = this.generations.census();
    const message = `reloaded the configuration: listening on ${frontends}, workers: ` +
      `${config.workers}, generation ${generation}${olderText(older, connections)}`;
    // Halfway to where a reload has to wait.
    const level = older * 2 >= config.maxGenerations ? "warn" : "info";
    const facts = { frontends, workers: config.workers, generation, older, connections };
    this.note(level, "reloaded", message, facts);
  }

  private get current(): Generation | undefined {
    return this.generations.current;
  }

  private makeTickets(inherited: TicketState | undefined): Tickets {
    const clock = sharedClock(this.runtime.libc);
    const now = () => clock.now() / 1000;
    const changed = (ring: TicketRing) => {
      for (const generation of this.generations.living) {
        generation.update({ tickets: ring }, { type: "tickets", ring });
      }
    };
    return new Tickets(this.prepared, changed, now, inherited, {
      open: ({ config, ticketStoreCa: ca, privileges }) =>
        new StoreHelper({
          url: config.sessions.ticketStore,
          ...(ca === undefined ? {} : { ca }),
          ...(privileges ? { ids: { uid: privileges.uid, gid: privileges.gid } } : {}),
        }, () => spawnStore(this.runtime, this.log)),
      log: this.log,
    });
  }

  private async emptyQueues(fds: readonly number[]): Promise<void> {
    if (fds.length > 0) await queuesEmptied(this.runtime.libc, fds, QUEUE_LIMIT_MS);
  }

  /** Fulfilled when they are gone, or after their time; whatever happens to them. */
  private async stopHelpers(): Promise<void> {
    const { log, stapling, tickets, sessions } = this;
    const stopped = [stapling, tickets, sessions].map((each) => guarded(log, () => each?.stop()));
    await inTime(stopped, HELPER_LIMIT_MS);
  }

  private check(): void {
    const slots = this.current!.slots;
    for (
      const step of [
        () => this.generations.serving.forEach((generation) => generation.check()),
        () => this.budget.check(),
        () => this.tickets?.check(),
        () => this.affinity.check(slots),
        () => this.statistics.check(slots),
        () => this.sessions.check(),
      ]
    ) void guarded(this.log, step);
  }

  /** The generation serves this configuration: what goes with it begins. Never throws. */
  private use(prepared: Prepared, generation: Generation): void {
    const { config, backend } = prepared;
    this.prepared = prepared;
    for (
      const step of [
        () => this.budget.total = maxConnections(prepared),
        () => this.backendName.watch(config, backend),
        () => this.backendState.backend = formatEndpoint(backend),
        () => this.stapling.begin(prepared.stapling),
        () => this.tickets?.use(prepared),
        () => this.affinity.use(config),
        () => this.statistics.interval = config.statsInterval,
        () => this.sessions.use(prepared),
        () => generation.slots.forEach((slot) => this.tell(slot)),
      ]
    ) void guarded(this.log, step);
  }

  /** What its worker, which has just begun to serve, cannot know. */
  private tell(slot: Slot): void {
    if (this.backendState.isDown) slot.send({ type: "backend-down" });
  }

  /** What is done with the events of a generation's workers; some count only for its backend. */
  private eventHandlers(isBackendInUse: () => boolean): SharedEventHandlers {
    const { sessions } = this;
    return {
      // Workers sum up by themselves what repeats.
      "log": ({ entry }) => {
        this.workersLog(entry);
        if (entry.facts.source === "backend") this.backendName.failed();
      },
      "backend-answers": ({ at }) => {
        if (isBackendInUse()) this.backendState.answers(at);
      },
      "backend-failed": (event) => {
        if (!isBackendInUse()) return;
        this.backendState.failed(event);
        this.backendName.failed();
      },
      "session-made": (event) => void sessions.handle(event),
      "session-wanted": (event, answer) => {
        const found = sessions.handle(event);
        if (found) answer(found);
      },
    };
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

function olderText(older: number, connections: number): string {
  if (older === 0) return "";
  return older === 1
    ? `; an older one still has ${connections} connections`
    : `; ${older} older ones still have ${connections} connections`;
}

/** What is told at other levels is the life of the service, which repeats in bounds. */
function isTrouble({ level }: LogEntry): boolean {
  return level === "warn" || level === "error";
}

/** Of all workers together; Infinity is no limit. */
function maxConnections({ config }: Prepared): number {
  return config.limits.connections || Infinity;
}
