import { spawnAccessLog } from "../access_log/writer.ts";
import { AccessLogs } from "../access_log/access_logs.ts";
import { sharedClock } from "../base/clock.ts";
import { inTime } from "../base/in_time.ts";
import { datesOf } from "../certificates/certificates.ts";
import { CertificateDates } from "../certificates/dates.ts";
import { guarded } from "../log/guarded.ts";
import { Stapling } from "../ocsp/stapling.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { Sessions } from "../sessions/sessions.ts";
import type { TicketRing } from "../tickets/ring.ts";
import { spawnStore, StoreHelper } from "../tickets/store_master.ts";
import { Tickets, type TicketState } from "../tickets/tickets.ts";
import type { SharedEventHandlers } from "../worker_protocol/messages.ts";
import { Counts, type HandedCounts } from "./counts.ts";
import type { Counted } from "./metrics.ts";
import { BackendName } from "./backend/backend_name.ts";
import { BackendProbe, type ProbeResult } from "./backend/backend_probe.ts";
import type { Endpoint } from "../os/endpoint.ts";
import { BackendState } from "./backend/backend_state.ts";
import { Affinity } from "./listeners/affinity.ts";
import type { Listeners } from "./listeners/listeners.ts";
import type { MasterLog } from "./master_log.ts";
import type { Prepared } from "./prepare.ts";
import { RecentEvents } from "./recent_events.ts";
import { type MasterFacts, ServedCertificates, stapleProblems } from "./status.ts";
import type { MasterProblemFacts } from "../status/problems.ts";
import { ConnectionQuotas } from "./workers/connection_quota.ts";
import type { Generations } from "./workers/generations.ts";
import type { Slot } from "./workers/slot.ts";
import { Statistics } from "./workers/statistics.ts";

/**
 * Maximum time that a stop waits for helper processes, which have nothing to lose, in milliseconds.
 */
const HELPER_LIMIT_MS = 2000;

export interface ServiceDependencies {
  readonly runtime: Runtime;
  readonly log: MasterLog;
  readonly generations: Generations;
  readonly listeners: Listeners;
}

/** What a successor passes on from its predecessor. */
export interface InheritedState {
  /** Where the TLS library uses the master's ticket keys. */
  readonly tickets?: TicketState;
  /** Absent from an older version. */
  readonly counts?: HandedCounts;
}

/**
 * What the master provides to workers besides sockets and certificates: connection quotas, staples,
 * ticket keys, sessions, affinity and the backend's address and state; and what it counts of them.
 * These outlive workers and generations. Holds the configuration that is in use.
 */
export class WorkerServices {
  readonly counts: Counts;
  readonly quotas = new ConnectionQuotas();
  readonly affinity: Affinity;
  readonly sessions: Sessions;
  readonly stapling: Stapling;
  readonly statistics: Statistics;
  readonly accessLogs: AccessLogs;
  /** Absent where the TLS library has its own keys. */
  readonly tickets: Tickets | undefined;
  private readonly log: MasterLog;
  private readonly generations: Generations;
  private readonly backendName: BackendName;
  private readonly backendState: BackendState;
  private readonly probe: BackendProbe;
  private configuration: Prepared;
  private certificates: ServedCertificates;
  private readonly dates: CertificateDates;
  private readonly recent = new RecentEvents();

  /** `inherited` is present in a successor. */
  constructor(
    dependencies: ServiceDependencies,
    prepared: Prepared,
    inherited: InheritedState | undefined,
  ) {
    const { runtime, log, generations, listeners } = dependencies;
    this.log = log;
    this.generations = generations;
    this.configuration = prepared;
    this.counts = new Counts(inherited?.counts);
    this.certificates = new ServedCertificates(prepared);
    this.dates = new CertificateDates(log.own);
    if (runtime.capabilities.ticketKeys) {
      this.tickets = makeTickets(dependencies, prepared, inherited?.tickets);
    }
    this.affinity = new Affinity(runtime, {
      log: log.own,
      groups: () => listeners.groups,
      route: (affinity) =>
        generations.current!.update({ affinity }, { type: "affinity", affinity }),
    });
    this.statistics = new Statistics(log.direct, runtime.capabilities.tlsFacts);
    this.sessions = new Sessions(runtime, log.own, { isSuccessor: inherited !== undefined });
    this.accessLogs = new AccessLogs({
      libc: runtime.libc,
      spawn: (inherited) => spawnAccessLog(runtime, inherited, log.own),
      log: log.direct,
      lost: (lines) => {
        const series = { name: "log_lines_dropped_total", labels: { log: "access" } };
        this.counts.totals.add(series, lines);
      },
    });
    this.stapling = new Stapling(runtime, log.direct, (command) => {
      for (const slot of this.currentSlots) slot.send(command);
    });
    this.probe = new BackendProbe(runtime.libc);
    this.backendName = new BackendName(runtime.libc, log.own, (backend) => {
      this.configuration = { ...this.configuration, backend };
      this.backendState.backend = formatEndpoint(backend);
      generations.current?.update({ backend }, { type: "backend", backend });
      this.currentSlots.forEach((slot) => this.workerReady(slot));
      this.probeBackend();
    });
    this.backendState = new BackendState(
      log.limited,
      () => this.currentSlots.forEach((slot) => slot.send({ type: "expect-answer" })),
      sharedClock(runtime.libc),
    );
  }

  /** What all workers and this process have counted, and the names in use. */
  get counted(): Counted {
    const { counts: { totals, names, since }, prepared: { config, tls } } = this;
    return { totals, since, names: names.of(config, tls.alpn) };
  }

  /** The configuration in use, with the backend's current address. */
  get prepared(): Prepared {
    return this.configuration;
  }

  /**
   * Gets ready for a configuration that {@link use} or {@link drop} follows. Throws a UsageError.
   */
  begin(prepared: Prepared): void {
    // Until it is certain which of the two configurations is used, the lower limit applies.
    this.quotas.total = Math.min(maxConnections(prepared), maxConnections(this.prepared));
    this.beginCertificates(prepared);
  }

  /** As {@link begin}, for a reload that starts no workers. */
  beginCertificates(prepared: Prepared): void {
    this.sessions.open(prepared);
    this.accessLogs.open(prepared.accessLog, prepared.config.log.file);
  }

  /** Undoes {@link begin}. */
  drop(): void {
    this.accessLogs.drop();
    this.sessions.drop();
    this.quotas.total = maxConnections(this.prepared);
  }

  /** Uses a configuration, whose workers have these slots. Never throws. */
  use(prepared: Prepared, slots: readonly Slot[]): void {
    const { config, backend } = prepared;
    this.configuration = prepared;
    this.guardedSteps([
      () => this.certificates = new ServedCertificates(prepared),
      () => this.dates.use(datesOf(prepared.sources), config.certificateWarningDays, Date.now()),
      () => this.quotas.total = maxConnections(prepared),
      () => this.backendName.watch(config, backend),
      () => this.backendState.backend = formatEndpoint(backend),
      () => this.probeBackend(),
      () => this.stapling.begin(prepared.stapling),
      () => this.tickets?.use(prepared),
      () => this.affinity.use(config),
      () => this.statistics.interval = config.statsInterval,
      () => this.sessions.use(prepared),
      () => this.accessLogs.use(),
      () => slots.forEach((slot) => this.workerReady(slot)),
    ]);
  }

  /** To be called once a second with the slots of the current generation. Never throws. */
  check(slots: readonly Slot[]): void {
    this.guardedSteps([
      () => this.quotas.check(),
      () => this.tickets?.check(),
      () => this.affinity.check(slots),
      () => this.statistics.check(slots),
      () => this.sessions.check(),
      () => this.accessLogs.check(),
      () => this.dates.check(Date.now()),
    ]);
  }

  /** Their parts of the status document at `now`, in milliseconds since 1970. */
  status(now: number): Pick<MasterFacts, "backends" | "certificates" | "failures" | "tickets"> {
    const { backendState, certificates, prepared, stapling, tickets } = this;
    return {
      backends: [backendState.status(now)],
      certificates: certificates.status(stapling.of(prepared), now),
      failures: this.recent.failures,
      ...(tickets && prepared.config.sessions.tickets ? { tickets: tickets.status } : {}),
    };
  }

  /** Whether the backend can be connected; undefined: unknown, or not to be found out. */
  get backendProbe(): ProbeResult | undefined {
    return this.probe.result;
  }

  /** What they contribute to the problems at `now`, in milliseconds since 1970. */
  problemFacts(now: number): Omit<MasterProblemFacts, "crashes" | "maxGenerations"> {
    const { prepared, dates, stapling, backendName: { unresolved } } = this;
    return {
      certificates: [
        ...dates.problems(now).map(({ severity, code, text }) => ({ severity, code, text })),
        ...stapleProblems(prepared.sources, stapling.of(prepared), now),
      ],
      limits: this.recent.limits(now),
      maxConnections: maxConnections(prepared),
      ...(unresolved === undefined ? {} : { unresolved }),
    };
  }

  /** Sends a worker that has begun to accept what it cannot know. */
  workerReady(slot: Slot): void {
    if (this.backendState.expectsAnswer) slot.send({ type: "expect-answer" });
  }

  /** Handles the events of a generation's workers; some count only for the backend in use. */
  eventHandlers(isBackendInUse: () => boolean): SharedEventHandlers {
    const { sessions } = this;
    return {
      "log": ({ entry }) => {
        this.log.direct(entry);
        this.recent.add(entry, Date.now());
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

  /** Whether this is the address, as `formatEndpoint` writes it, of the backend in use. */
  isBackend(address: string): boolean {
    return address === this.backendState.backend;
  }

  /**
   * Stops resolving the backend's name, and the helper processes. Fulfilled when these have exited,
   * or after two seconds; never rejected.
   */
  async stop(): Promise<void> {
    const { log, backendName, stapling, tickets, sessions } = this;
    void guarded(log.own, () => backendName.stop());
    void guarded(log.own, () => this.probe.use(undefined));
    const stopped = [stapling, tickets, sessions].map((each) =>
      guarded(log.own, () => each?.stop())
    );
    await inTime(stopped, HELPER_LIMIT_MS);
  }

  private probeBackend(): void {
    const { config, backend, privileges } = this.prepared;
    if (!config.admin.readyBackend) return this.probe.use(undefined);
    const isFile = backend.family === "unix" && !backend.path.startsWith("@");
    // The master is not in the workers' root directory.
    const path = isFile ? { path: `${privileges?.chroot ?? ""}${backend.path}` } : {};
    this.probe.use({ ...backend, ...path } as Endpoint);
  }

  private get currentSlots(): readonly Slot[] {
    return this.generations.current?.slots ?? [];
  }

  private guardedSteps(steps: readonly (() => void)[]): void {
    for (const step of steps) void guarded(this.log.own, step);
  }
}

function makeTickets(
  { runtime, log, generations }: ServiceDependencies,
  prepared: Prepared,
  inherited: TicketState | undefined,
): Tickets {
  const clock = sharedClock(runtime.libc);
  const now = () => clock.now() / 1000;
  const changed = (ring: TicketRing) => {
    for (const generation of generations.living) {
      generation.update({ tickets: ring }, { type: "tickets", ring });
    }
  };
  return new Tickets(prepared, changed, now, inherited, {
    open: ({ config, ticketStoreCa: ca, privileges }) =>
      new StoreHelper({
        url: config.sessions.ticketStore,
        ...(ca === undefined ? {} : { ca }),
        ...(privileges ? { ids: { uid: privileges.uid, gid: privileges.gid } } : {}),
      }, () => spawnStore(runtime, log.own)),
    log: log.own,
  });
}

/** The limit for all workers together; Infinity is no limit. */
function maxConnections({ config }: Prepared): number {
  return config.limits.connections || Infinity;
}
