import { connectionFacts } from "../access_log/connection_facts.ts";
import type { AccessRecord } from "../access_log/record.ts";
import { LoopDelay } from "../base/loop_delay.ts";
import { surviveFaults } from "../base/survive_faults.ts";
import { sharedClock } from "../base/clock.ts";
import type { Connection } from "../connection/connection.ts";
import type { ConnectionEvents } from "../connection/context.ts";
import { Connections } from "../connection/connections.ts";
import { ACCESS_LINES_DROPPED, LINES_DROPPED } from "../connection/counters.ts";
import { type ConnectionFailure, isOutage } from "../connection/failure.ts";
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
import type { EventName } from "../base/events.ts";
import type { LogEntry } from "../base/log_entry.ts";
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
import { accessRecord, frontendName } from "./access_record.ts";
import { AccessWriter } from "./access_writer.ts";
import { BackendWatch } from "./backend_watch.ts";
import { MemoryReclaim } from "./memory_reclaim.ts";
import { type FrontendContext, frontendContexts } from "./frontends.ts";
import { ConnectionLimiter } from "./connection_limiter.ts";
import { type ListenerEvents, WorkerListeners } from "./listeners.ts";
import { descriptorLimit, type WorkerLimits, workerLimits } from "./limits.ts";
import { dieBeforeMaster } from "../system/oom_score.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import { pinToCore } from "./pin_to_core.ts";
/** Events that the status document shows at every level; the master drops them from its log. */
const SHOWN: readonly EventName[] = ["connection-failed", "connection-limit"];
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
  private accessWriter: AccessWriter | undefined;
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
    const { level, event, message, facts } = internalError(error);
    this.log(level, event, message, facts);
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
      this.connections = new Connections(runtime, {
        ...settings,
        limits: { ...settings.limits, handshakes: limits.handshakes },
        backend,
        backendSources,
        alpn: tls.alpn,
        counted: command.counted,
        measures: command.measures ?? false,
        backendTls: backendTls && runtime.createClientTls(backendTls),
      }, this.events());
      this.listeners = new WorkerListeners(runtime, command, this.listenerEvents());
      this.limiter = this.makeLimiter(limits, this.listeners, command.connections);
      if (command.measures) this.loopDelay = new LoopDelay();
      this.openAccessLog(command);
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

  private openAccessLog({ accessLog: pipe, settings: { accessLog } }: StartCommand): void {
    if (pipe === undefined) return;
    this.accessWriter = new AccessWriter(
      this.runtime.libc,
      { pipe, ...accessLog },
      ({ level, event, message, facts }) => this.log(level, event, message, facts),
      (lines) => this.connections!.counters.values[ACCESS_LINES_DROPPED]! += lines,
    );
  }

  private limits(): WorkerLimits {
    const { settings, listeners } = this.command!;
    const sockets = listeners.reduce((sum, { fds }) => sum + Math.max(1, fds.length), 0);
    const found = workerLimits(settings.limits, descriptorLimit(), sockets);
    const { tooMany, connections } = found;
    if (tooMany !== undefined) {
      const message = `--max-worker-connections: the descriptor limit allows ${connections} ` +
        `connections, not ${tooMany}; raise ulimit -n`;
      this.log("warn", "warning", message, { limit: connections });
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
      reached: (message, facts) => this.log("warn", "connection-limit", message, facts),
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
        this.log("error", "accept-failed", `cannot accept a connection: ${message}`, {
          source: "internal",
          code,
        }),
      warning: ({ level, event, message, facts }) => this.log(level, event, message, facts),
    };
  }

  private events(): ConnectionEvents<Connection> {
    const isVerbose = () => this.logLevel === 2;
    return {
      observes: (id) => isVerbose() || this.accessWriter?.takes(id) === true,
      established: (connection) => {
        this.backend.answered();
        if (!isVerbose()) return;
        const name = connection.clientCommonName;
        const more = name === undefined ? {} : { clientCommonName: name };
        this.logConnection("connection-established", connection, "established", more);
      },
      failed: (connection, failure) => {
        if (isOutage(failure)) this.backend.failed(failure);
        // The master logs an outage once, for all connections.
        if (isVerbose() || !isOutage(failure)) this.logFailure(connection, failure);
      },
      closed: (connection) => {
        if (isVerbose()) this.logConnection("connection-closed", connection, "closed");
        this.logAccess(connection);
        this.limiter!.closed(this.connections!.open);
        this.exitWhenEmpty();
      },
    };
  }

  private logConnection(
    event: EventName,
    connection: Connection,
    what: "established" | "closed",
    more: LogEntry["facts"] = {},
  ): void {
    const { id, clientName, facts } = connection;
    const record = this.recordOf(connection);
    const known = record && connectionFacts(record, what);
    const message = `connection ${id} from ${clientName}: ${what}${known ? ` ${known.text}` : ""}`;
    this.log("debug", event, message, { ...known?.facts, ...facts, ...more });
  }

  private logAccess(connection: Connection, isStop = false): void {
    if (!this.accessWriter?.takes(connection.id)) return;
    const record = this.recordOf(connection, isStop);
    if (record) this.accessWriter.write(record);
  }

  private recordOf(connection: Connection, isStop = false): AccessRecord | undefined {
    const { slot } = this.command!;
    const frontend = frontendName(this.command!, connection.frontend);
    return accessRecord(connection, { frontend, worker: slot, pid: process.pid }, isStop);
  }

  /** Logs what is cut now, and writes the last lines. */
  private endAccessLog(): void {
    for (const connection of this.connections?.observed ?? []) this.logAccess(connection, true);
    this.accessWriter?.end();
  }

  private logFailure(connection: Connection, failure: ConnectionFailure): void {
    const { id, clientName, facts } = connection;
    const { source, code, cause, detail } = failure;
    const isVerbose = this.logLevel === 2;
    // Health checks come every second.
    if (code === "client-left" && !isVerbose) return;
    const more = isVerbose && detail ? ` (${detail})` : "";
    this.log(
      levelOf(failure),
      "connection-failed",
      `connection ${id} from ${clientName} failed, caused by ${source}: ${code}: ${cause}${more}`,
      { ...facts, source, code, cause, ...(detail ? { detail } : {}) },
    );
  }

  /** A TLS library that keeps every name also keeps those that clients invent. */
  private readonly nameRequested = (): void => {
    if (!this.runtime.capabilities.remembersNames) return;
    if (++this.rememberedNames === MAX_REMEMBERED_NAMES) this.requestSuccessor();
  };

  private pin(slot: number): void {
    const core = pinToCore(this.runtime.libc, slot);
    if (core !== undefined) return;
    this.log("warn", "pin-failed", "cannot be pinned to its core; it runs on any core", {});
  }

  private log(
    level: LogEntry["level"],
    event: EventName,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    if (this.logLevel === 0 && level !== "error" && !SHOWN.includes(event)) return;
    this.rateLimiter.log({ level, event, message, facts });
  }

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

function levelOf({ source, code }: ConnectionFailure): LogEntry["level"] {
  if (code === "client-left") return "debug";
  return source === "internal" ? "error" : source === "limit" ? "info" : "warn";
}
