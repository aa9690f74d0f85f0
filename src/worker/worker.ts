import { readFileSync } from "node:fs";
import { certificateSelector } from "../certificates/sni.ts";
import { type Connection, type ConnectionEvents, Connections } from "../connection/connection.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import { FrameReader, FrameWriter, MAX_FRAME_DOWN } from "../control/channel.ts";
import type { Frontend, Order, Report, StartOrder } from "../control/messages.ts";
import type { LogEntry } from "../log.ts";
import { listenerOptions } from "../platform.ts";
import { nobody } from "../runtime/nobody.ts";
import type {
  Listener,
  ListenOn,
  Runtime,
  Stream,
  StreamOwner,
  TlsContext,
} from "../runtime/types.ts";
import { REPORTS_FD } from "./command_line.ts";
import { dropPrivileges, pinToCore } from "./process.ts";

/** Descriptors that are kept for everything that is not a connection. */
const RESERVED_DESCRIPTORS = 64;
/** Where the TLS library never forgets a name, a worker that was asked for this many is replaced. */
const MAX_REMEMBERED_NAMES = 10_000;

/**
 * Runs this process as a worker: it takes orders on standard input and serves until they end,
 * which means that the master is gone. It never returns by itself.
 */
export function runWorker(runtime: Runtime): void {
  const worker = new Worker(runtime);
  const orders = new FrameReader(MAX_FRAME_DOWN, (order) => worker.obey(order as Order));
  process.stdin.on("data", (bytes: Uint8Array) => orders.push(bytes));
  process.stdin.on("end", () => process.exit(1));
  process.stdin.on("error", () => process.exit(1));
  process.on("SIGTERM", () => worker.leave());
  // Ctrl-C reaches the whole foreground group; the master decides what it means.
  process.on("SIGINT", () => {});
  // A fault of ours costs the connection that met it, never the worker.
  process.on("uncaughtException", (error) => worker.internalError(error));
  process.on("unhandledRejection", (error) => worker.internalError(error));
}

class Worker {
  private readonly runtime: Runtime;
  private readonly reports = new FrameWriter(REPORTS_FD);
  private order: StartOrder | undefined;
  private tls: TlsContext | undefined;
  private connections: Connections | undefined;
  /** By slot: its own, and those it serves for a worker that is away. */
  private readonly listeners = new Map<number, Listener[]>();
  private maxConnections = 0;
  private isFull = false;
  private rememberedNames = 0;
  private isDraining = false;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  obey(order: Order): void {
    switch (order.type) {
      case "start":
        return this.start(order);
      case "adopt":
        return this.listen(order.slot);
      case "release":
        return this.stopListening(order.slot);
      case "drain":
        return this.drain();
      case "ping":
        return this.report({ type: "pong" });
    }
  }

  /** Ends the process as soon as the master has its last words. */
  leave(): void {
    this.reports.flush(() => process.exit(0));
  }

  internalError(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.log("error", "internal-error", `internal error: ${message}; please report it`, {
      source: "internal",
      code: "internal-error",
      cause: (error instanceof Error && error.stack) || message,
    });
  }

  private start(order: StartOrder): void {
    this.order = order;
    const { config, certificates, backend, backendSources } = order;
    try {
      if (config.pinWorkers) this.pin(order.slot);
      this.maxConnections = Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / 2);
      const settings = { ...config, backend, backendSources };
      this.connections = new Connections(this.runtime, settings, this.events());
      this.tls = this.runtime.createTlsContext({
        certificates,
        select: this.selector(order),
        protocols: config.protocols,
        ciphers: config.ciphers,
        preferServerCiphers: config.preferServerCiphers,
      });
      this.listen(order.slot);
      if (order.user) dropPrivileges(this.runtime.libc, order.user);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // The master ends this process when it has read the reason.
      return this.report({ type: "failed", message });
    }
    this.report({ type: "ready" });
  }

  private listen(slot: number): void {
    if (this.listeners.has(slot)) return;
    const { frontends, config } = this.order!;
    const opened: Listener[] = [];
    this.listeners.set(slot, opened);
    for (const frontend of frontends) {
      opened.push(this.runtime.listen({
        on: this.listenOn(frontend, slot),
        backlog: config.backlog,
        tls: this.tls!,
        accepted: this.accepted,
        failed: ({ code, message }) =>
          this.log("error", "accept-failed", `accepting failed: ${message}`, {
            source: "internal",
            code,
          }),
      }));
    }
  }

  private listenOn({ endpoint, fds }: Frontend, slot: number): ListenOn {
    if (!this.runtime.capabilities.adoptSockets) {
      return { endpoint, socketOptions: listenerOptions(this.order!.config.keepalive) };
    }
    // A copy, since closing a listener closes its descriptor and the slot may be served again.
    return { endpoint, fd: this.runtime.libc.dup(fds[slot - 1]!) };
  }

  private stopListening(slot: number): void {
    for (const listener of this.listeners.get(slot) ?? []) listener.close();
    this.listeners.delete(slot);
  }

  /** Accepts no more and leaves with the last connection. */
  private drain(): void {
    this.isDraining = true;
    for (const slot of [...this.listeners.keys()]) this.stopListening(slot);
    this.leaveWhenEmpty();
  }

  private leaveWhenEmpty(): void {
    if (this.isDraining && this.connections!.open === 0) this.leave();
  }

  private readonly accepted = (stream: Stream): StreamOwner => {
    const connections = this.connections!;
    if (connections.open < this.maxConnections) {
      this.isFull = false;
      return connections.accept(stream);
    }
    if (!this.isFull) {
      this.isFull = true;
      this.log(
        "error",
        "connection-limit",
        `${this.maxConnections} connections are open, as many as the descriptor limit allows; ` +
          `new ones are reset until some end (raise ulimit -n or add workers)`,
        { source: "internal", code: "connection-limit" },
      );
    }
    queueMicrotask(() => stream.reset());
    return nobody;
  };

  private events(): ConnectionEvents {
    const isVerbose = this.order!.config.logLevel === 2;
    return {
      established: (connection) => {
        if (isVerbose) this.logConnection("connection-established", connection, "established");
      },
      failed: (connection, failure) => this.logFailure(connection, failure),
      over: (connection) => {
        if (isVerbose) this.logConnection("connection-closed", connection, "closed");
        this.leaveWhenEmpty();
      },
    };
  }

  private logConnection(event: string, connection: Connection, what: string): void {
    const { id, clientName } = connection;
    this.log("debug", event, `connection ${id} from ${clientName}: ${what}`, {
      connection: id,
      client: clientName,
    });
  }

  private logFailure(connection: Connection, failure: ConnectionFailure): void {
    const { id, clientName } = connection;
    const { source, code, cause } = failure;
    this.log(
      source === "internal" ? "error" : "warn",
      "connection-failed",
      `connection ${id} from ${clientName} failed, caused by ${source}: ${code}: ${cause}`,
      { connection: id, client: clientName, source, code, cause },
    );
  }

  private selector({ certificates }: StartOrder): (serverName: string) => number {
    const select = certificateSelector(certificates);
    if (!this.runtime.capabilities.remembersNames || certificates.length === 1) return select;
    return (serverName) => {
      if (++this.rememberedNames === MAX_REMEMBERED_NAMES) this.report({ type: "retiring" });
      return select(serverName);
    };
  }

  private pin(slot: number): void {
    const core = pinToCore(this.runtime.libc, slot);
    if (core !== undefined) return;
    this.log("warn", "pin-failed", "could not be pinned to its core; it runs on any", {});
  }

  private log(
    level: LogEntry["level"],
    event: string,
    message: string,
    facts: LogEntry["facts"],
  ): void {
    const isQuiet = this.order?.config.logLevel === 0;
    if (isQuiet && level !== "error") return;
    const worker = this.order?.slot ?? 0;
    const dropped = this.reports.takeDropped();
    this.report({
      type: "log",
      entry: {
        level,
        event,
        message,
        facts: { worker, ...facts, ...(dropped ? { dropped } : {}) },
      },
    });
  }

  private report(report: Report): void {
    this.reports.send(report);
  }
}

/** RLIMIT_NOFILE of this process. */
function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
