import { LoopDelay } from "../base/loop_delay.ts";
import { surviveFaults } from "../base/survive_faults.ts";
import { sharedClock } from "../base/clock.ts";
import type { Connection } from "../connection/connection.ts";
import type { ConnectionEvents } from "../connection/context.ts";
import { Connections } from "../connection/connections.ts";
import { ACCESS_LINES_DROPPED, LINES_DROPPED } from "../connection/counters.ts";
import { isOutage } from "../connection/failure.ts";
import { eventWriter, type FrameWriter } from "../control/frame_writer.ts";
import { type CommandHandler, readCommands } from "../control/helper.ts";
import type {
  LimitCommand,
  StartCommand,
  SwapCommand,
  WorkerCommand,
  WorkerEvent,
  WorkerState,
} from "../worker_protocol/messages.ts";
import type { ServedTls } from "../certificates/served_tls.ts";
import { internalError } from "../log/internal_error.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import type { LogConfig } from "../options/config.ts";
import { Staples } from "../ocsp/staples.ts";
import { queuesEmptied, refuseNew } from "../os/listen_queue.ts";
import { resetAllOnExit } from "../os/reset_on_close.ts";
import { LogRateLimiter } from "../log/rate_limiter.ts";
import { SharedSessions } from "../sessions/shared_sessions.ts";
import { TicketKeys } from "../tickets/ticket_keys.ts";
import { ignoringHandler } from "../runtime/ignoring_handler.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { StreamHandler } from "../runtime/stream.ts";
import type { Stream } from "../runtime/stream.ts";
import { AccessWriter } from "./access_writer.ts";
import { BackendWatch } from "./backend_watch.ts";
import { ConnectionLog } from "./connection_log.ts";
import { isSent } from "./sent_entries.ts";
import { MemoryReclaim } from "./memory_reclaim.ts";
import { type FrontendContext, frontendContexts } from "./frontends.ts";
import { ConnectionLimiter } from "./connection_limiter.ts";
import { type ListenerEvents, WorkerListeners } from "./listeners.ts";
import { descriptorLimit, type WorkerLimits, workerLimits } from "./limits.ts";
import { dieBeforeMaster } from "../system/oom_score.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import { pinToCore } from "./pin_to_core.ts";

/** If the TLS library keeps every name, a worker is replaced after this many. */
const MAX_REMEMBERED_NAMES = 10_000;
/** Maximum time that a queue which is not emptied delays a new master, in milliseconds. */
const ORPHAN_LIMIT_MS = 1000;

/**
 * Runs this process as a worker: reads commands from standard input and accepts connections until
 * the input ends, which means that the master is gone; then it drains.
 */
export function runWorker(runtime: Runtime): void {
  const worker = new Worker(runtime);
  readCommands(worker);
  process.on("SIGTERM", () => worker.handleSigterm());
  // They reach the whole foreground process group; the master handles them.
  for (const signal of ["SIGINT", "SIGQUIT"]) process.on(signal, () => {});
  // A fault of ours may cost a connection, never the worker.
  surviveFaults((error) => worker.internalError(error));
}

class Worker implements CommandHandler<WorkerCommand> {
  private readonly runtime: Runtime;
  private readonly channel: FrameWriter;
  private readonly rateLimiter = new LogRateLimiter(
    (entry) => this.sendLog(entry),
    () => this.logLevel,
  );
  private readonly backend: BackendWatch;
  private command: StartCommand | undefined;
  /** By frontend; empty in client mode. */
  private frontends: readonly FrontendContext[] = [];
  private readonly staples = new Staples();
  /** Absent if the TLS library has its own. */
  private ticketKeys: TicketKeys | undefined;
  private readonly sharedSessions = new SharedSessions((event) => this.channel.offer(event));
  private connections: Connections | undefined;
  private listeners: WorkerListeners | undefined;
  private limiter: ConnectionLimiter | undefined;
  private connectionLog: ConnectionLog | undefined;
  /** Absent unless it is reported. */
  private loopDelay: LoopDelay | undefined;
  private rememberedNames = 0;
  private readonly memoryReclaim = new MemoryReclaim();
  /** Set once it drains; fulfilled when it accepts no more. */
  private draining: Promise<void> | undefined;
  private hasStoppedAccepting = false;
  private isOrphan = false;
  private wantsSuccessor = false;
  /** The number of the last `tls` command. */
  private lastSwap = 0;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.channel = eventWriter(runtime.libc);
    const clock = sharedClock(runtime.libc);
    this.backend = new BackendWatch((event) => this.channel.send(event), clock);
  }

  handle(command: WorkerCommand): void {
    switch (command.type) {
      case "start":
        return this.start(command);
      case "adopt":
        return command.slots.forEach((slot) => this.listeners!.listen(slot));
      case "release":
        return command.slots.forEach((slot) => void this.listeners!.release(slot));
      case "backend":
        this.connections!.backend = command.backend;
        return;
      case "expect-answer":
        return this.backend.expectAnswer();
      case "tls":
        return this.swap(command);
      case "staple":
        return this.staples.set(command);
      case "tickets":
        return this.ticketKeys!.use(command.ring);
      case "session-found":
        return this.sharedSessions.found(command);
      case "limit":
        return void this.limit(command);
      case "log-level":
        this.command = { ...this.command!, logLevel: command.level };
        return;
      case "sockets-owned":
        this.command = { ...this.command!, sharesSockets: false };
        return;
      case "affinity":
        return this.listeners!.route(command.affinity);
      case "drain":
        return void this.drainForMaster();
      case "exit":
        return this.exit();
      case "ping":
        return this.answerPing();
    }
  }

  /** Drains and exits when a successor accepts connections; exits at once without a master. */
  handleSigterm(): void {
    if (this.isOrphan) {
      this.endAccessLog();
      process.exit(1);
    }
    this.requestSuccessor();
  }

  /** The master's commands can no longer be read: a successor takes over. */
  unreadable(error: unknown): void {
    this.internalError(error);
    if (!this.command) return this.channel.flush(() => process.exit(1));
    this.requestSuccessor();
    void this.drain();
  }

  ended(): void {
    void this.orphaned();
  }

  /**
   * The master is gone. Another one can start when these sockets are closed; connections that wait
   * in the queues are accepted first.
   */
  private async orphaned(): Promise<void> {
    if (!this.command) process.exit(1);
    if (this.isOrphan) return;
    this.isOrphan = true;
    const { libc } = this.runtime;
    const { listeners, sharesSockets } = this.command;
    const own = listeners.filter(({ activated }) => !activated && !sharesSockets);
    // While it drains they are closed, and their numbers may belong to connections.
    const fds = this.draining ? [] : own.flatMap(({ fds }) => fds);
    for (const fd of fds) refuseNew(libc, fd);
    await queuesEmptied(libc, fds, ORPHAN_LIMIT_MS);
    await this.drain();
  }

  internalError(error: unknown): void {
    this.log(internalError(error));
  }

  private requestSuccessor(): void {
    this.wantsSuccessor = true;
    this.report({ type: "successor-wanted" });
  }

  private start(command: StartCommand): void {
    this.command = command;
    const { settings, tls, backendTls, backend, backendSources, privileges } = command;
    const { runtime } = this;
    try {
      if (settings.pinWorkers) this.pin(command.slot);
      const limits = this.limits();
      if (settings.engine !== "" && runtime.capabilities.engines) {
        runtime.loadEngine(settings.engine);
      }
      const log = this.connectionLog = this.makeConnectionLog(command);
      this.connections = new Connections(runtime, {
        ...settings,
        limits: { ...settings.limits, handshakes: limits.handshakes },
        backend,
        backendSources,
        alpn: tls.alpn,
        counted: command.counted,
        measures: command.measures ?? false,
        backendTls: backendTls && runtime.createClientTls(backendTls),
      }, this.events(log));
      this.listeners = new WorkerListeners(runtime, command, this.listenerEvents());
      this.limiter = this.makeLimiter(limits, this.listeners, command.connections);
      if (command.measures) this.loopDelay = new LoopDelay();
      if (command.tickets) this.ticketKeys = new TicketKeys(command.tickets);
      this.frontends = backendTls ? [] : this.contexts(tls);
      for (const slot of command.serves) this.listeners.listen(slot);
      runtime.startThreads(1);
      dieBeforeMaster();
      dropPrivileges(runtime.libc, privileges);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // The master kills this process when it has read the reason.
      return this.report({ type: "failed", message });
    }
    this.report({ type: "ready" });
  }

  /** Opens the access log, if there is one. */
  private makeConnectionLog(command: StartCommand): ConnectionLog {
    const { accessLog: pipe, settings: { accessLog } } = command;
    const accessWriter = pipe === undefined ? undefined : new AccessWriter(
      this.runtime.libc,
      { pipe, ...accessLog },
      this.log,
      (lines) => this.connections!.counters.values[ACCESS_LINES_DROPPED]! += lines,
    );
    const isVerbose = () => this.logLevel === 2;
    return new ConnectionLog(command, { log: this.log, isVerbose, accessWriter });
  }

  private limits(): WorkerLimits {
    const { settings, listeners } = this.command!;
    const sockets = listeners.reduce((sum, { fds }) => sum + Math.max(1, fds.length), 0);
    const found = workerLimits(settings.limits, descriptorLimit(), sockets);
    const { tooMany, connections } = found;
    if (tooMany !== undefined) {
      const message = `--max-worker-connections: the descriptor limit allows ${connections} ` +
        `connections, not ${tooMany}; raise ulimit -n`;
      this.log({ level: "warn", event: "warning", message, facts: { limit: connections } });
    }
    return found;
  }

  private makeLimiter(
    limits: WorkerLimits,
    listeners: WorkerListeners,
    quota = Infinity,
  ): ConnectionLimiter {
    return new ConnectionLimiter(limits, quota, {
      pause: () => listeners.pause(),
      resume: () => listeners.resume(),
      counted: (limit) => this.connections!.counters.limitReached(limit),
      reached: (message, facts) =>
        this.log({ level: "warn", event: "connection-limit", message, facts }),
    });
  }

  /** Sets this worker's share of the connections. */
  private async limit({ number, connections: quota = Infinity }: LimitCommand): Promise<void> {
    // While it drains, it still accepts what waits in its queues.
    if (this.draining) await this.draining;
    const { open } = this.connections!;
    this.limiter!.setQuota(quota, open);
    this.report({ type: "limited", number, open });
  }

  private contexts(tls: ServedTls): FrontendContext[] {
    const { staples, ticketKeys, sharedSessions, nameRequested } = this;
    const { sessions } = this.command!.settings;
    const dependencies = { staples, sessions, ticketKeys, sharedSessions, nameRequested };
    return frontendContexts(this.runtime, tls, dependencies);
  }

  /** Uses new certificates for new connections. If that fails, a successor will have them. */
  private swap({ number, tls }: SwapCommand): void {
    if (number !== this.lastSwap) this.useCertificates(tls);
    this.lastSwap = number;
    this.report({ type: "swapped", number });
  }

  private useCertificates(tls: ServedTls): void {
    try {
      const frontends = this.contexts(tls);
      this.listeners!.update(frontends.map(({ context }) => context));
      this.frontends = frontends;
      this.staples.exchange();
      this.runtime.collectGarbage(false);
    } catch (error) {
      this.staples.forgetNext();
      this.internalError(error);
      this.requestSuccessor();
    }
  }

  /** The master pings every second. */
  private answerPing(): void {
    const connections = this.connections!;
    const { open, total } = connections;
    this.report({ type: "pong", ...this.state() });
    // The master may have been unable to start one, or the event was lost.
    if (this.wantsSuccessor && !this.draining) this.requestSuccessor();
    if (this.memoryReclaim.isDue(open, connections.takeMaxOpen(), total)) {
      this.runtime.collectGarbage(false);
    }
  }

  private state(): WorkerState {
    const { open, counters } = this.connections!;
    const loopDelayMs = this.loopDelay?.recentMs;
    return {
      open,
      counters: counters.report(),
      ...(loopDelayMs === undefined ? {} : { loopDelayMs }),
    };
  }

  private async drainForMaster(): Promise<void> {
    await this.drain();
    this.report({ type: "draining", ...this.state() });
  }

  /** Accepts no more and exits after the last connection closes. */
  private drain(): Promise<void> {
    return this.draining ??= this.stopAccepting();
  }

  private async stopAccepting(): Promise<void> {
    await this.listeners!.close();
    this.hasStoppedAccepting = true;
    this.exitWhenEmpty();
  }

  private exitWhenEmpty(): void {
    if (this.hasStoppedAccepting && this.connections!.open === 0) this.exit();
  }

  /** Exits as soon as the last events are sent to the master, if there is one. */
  private exit(): void {
    // FIN would make what is cut look complete.
    if (this.connections && this.connections.open > 0) resetAllOnExit(this.runtime.libc);
    this.endAccessLog();
    if (this.isOrphan) process.exit(0);
    this.rateLimiter.flush();
    this.backend.flush();
    // It carries what was counted since the last ping.
    if (this.connections) this.report({ type: "draining", ...this.state() });
    this.channel.flush(() => process.exit(0));
  }

  private accept(stream: Stream, frontend: number): StreamHandler {
    const { connections, limiter } = this;
    if (!limiter!.admits(connections!.open)) {
      queueMicrotask(() => stream.reset());
      return ignoringHandler;
    }
    const handler = connections!.accept(stream, frontend, this.frontends[frontend]?.trust);
    limiter!.opened(connections!.open);
    return handler;
  }

  private listenerEvents(): ListenerEvents {
    return {
      tls: (frontend) => this.frontends[frontend]?.context,
      isPaused: () => this.limiter!.isPaused,
      accepted: (stream, frontend) => this.accept(stream, frontend),
      failed: ({ code, message }) =>
        this.log({
          level: "error",
          event: "accept-failed",
          message: `cannot accept a connection: ${message}`,
          facts: { source: "internal", code },
        }),
      warning: this.log,
    };
  }

  private events(log: ConnectionLog): ConnectionEvents<Connection> {
    return {
      observes: (id) => log.observes(id),
      established: (connection) => {
        this.backend.answered();
        log.established(connection);
      },
      failed: (connection, failure) => {
        const affectsAll = isOutage(failure);
        if (affectsAll) this.backend.failed(failure);
        // The master logs an outage once, for all connections.
        if (!affectsAll || this.logLevel === 2) log.failed(connection, failure);
      },
      closed: (connection) => {
        log.closed(connection);
        this.limiter!.closed(this.connections!.open);
        this.exitWhenEmpty();
      },
    };
  }

  private endAccessLog(): void {
    this.connectionLog?.end(this.connections?.observed ?? []);
  }

  /** A TLS library that keeps every name also keeps those that clients invent. */
  private readonly nameRequested = (): void => {
    if (!this.runtime.capabilities.remembersNames) return;
    if (++this.rememberedNames === MAX_REMEMBERED_NAMES) this.requestSuccessor();
  };

  private pin(slot: number): void {
    const core = pinToCore(this.runtime.libc, slot);
    if (core !== undefined) return;
    const message = "cannot be pinned to its core; it runs on any core";
    this.log({ level: "warn", event: "pin-failed", message, facts: {} });
  }

  private readonly log: Log = (entry) => {
    const hasStatus = this.command?.measures === true;
    if (isSent(entry, this.logLevel, hasStatus)) this.rateLimiter.log(entry);
  };

  private sendLog(entry: LogEntry): void {
    const worker = this.command?.slot ?? 0;
    const isSent = this.channel.sendLog((dropped): WorkerEvent => {
      const { pid } = process;
      const facts = { worker, pid, ...entry.facts, ...(dropped ? { dropped } : {}) };
      return { type: "log", entry: { ...entry, facts } };
    });
    if (!isSent && this.connections) this.connections.counters.values[LINES_DROPPED]!++;
  }

  private get logLevel(): LogConfig["level"] {
    return this.command?.logLevel ?? this.command?.settings.log.level ?? 1;
  }

  private report(event: WorkerEvent): void {
    this.channel.send(event);
  }
}
