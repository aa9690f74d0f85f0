import { readFileSync } from "node:fs";
import type { Connection } from "../connection/connection.ts";
import { type ConnectionEvents, Connections } from "../connection/connections.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import { FrameReader, FrameWriter, MAX_FRAME_DOWN } from "../control/channel.ts";
import type { ListenerOrder, Order, Report, StartOrder, TlsOrder } from "../control/messages.ts";
import type { LogEntry } from "../log.ts";
import { listenerOptions } from "../platform.ts";
import { Staples } from "../ocsp/staples.ts";
import { nobody } from "../runtime/nobody.ts";
import type { Listener, ListenOn, Runtime, Stream, StreamOwner } from "../runtime/types.ts";
import { REPORTS_FD } from "./command_line.ts";
import { type FrontendContext, frontendContexts } from "./frontends.ts";
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

/** A listener with the place of its frontend. */
interface OpenListener {
  readonly frontend: number;
  readonly listener: Listener;
}

class Worker {
  private readonly runtime: Runtime;
  private readonly reports = new FrameWriter(REPORTS_FD);
  private order: StartOrder | undefined;
  /** By frontend; empty in client mode. */
  private frontends: readonly FrontendContext[] = [];
  private readonly staples = new Staples();
  private connections: Connections | undefined;
  /** By slot: its own, and those it serves for a worker that is away. */
  private readonly listeners = new Map<number, OpenListener[]>();
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
        return order.slots.forEach((slot) => this.listen(slot));
      case "release":
        return order.slots.forEach((slot) => this.stopListening(slot));
      case "backend":
        this.connections!.backend = order.backend;
        return;
      case "tls":
        return this.swap(order.tls);
      case "staple":
        return this.staples.set(order);
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
    const { settings, tls, backendTls, backend, backendSources, privileges } = order;
    const { runtime } = this;
    try {
      if (settings.pinWorkers) this.pin(order.slot);
      this.maxConnections = Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / 2);
      if (settings.engine !== "") runtime.loadEngine(settings.engine);
      this.connections = new Connections(runtime, {
        ...settings,
        backend,
        backendSources,
        backendTls: backendTls && runtime.createClientTls(backendTls),
      }, this.events());
      this.frontends = backendTls ? [] : this.contexts(tls);
      for (const slot of order.serves) this.listen(slot);
      dropPrivileges(runtime.libc, privileges);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // The master ends this process when it has read the reason.
      return this.report({ type: "failed", message });
    }
    this.report({ type: "ready" });
  }

  private contexts(tls: TlsOrder): FrontendContext[] {
    return frontendContexts(this.runtime, tls, this.staples, this.nameAsked);
  }

  private listen(slot: number): void {
    // The descriptors of one that drains may belong to connections by now.
    if (this.isDraining || this.listeners.has(slot)) return;
    const opened: OpenListener[] = [];
    this.listeners.set(slot, opened);
    for (const order of this.order!.listeners) {
      // Of a slot beyond the workers only older addresses have a socket; one for all is served.
      const isOwn = slot === this.order!.slot;
      if (!isOwn && (isShared(order) || slot > order.fds.length)) continue;
      opened.push({ frontend: order.frontend, listener: this.listenAt(order, slot) });
    }
  }

  private listenAt(order: ListenerOrder, slot: number): Listener {
    const { settings } = this.order!;
    const frontend = this.frontends[order.frontend];
    return this.runtime.listen({
      on: this.listenOn(order, slot),
      backlog: settings.backlog,
      headerFirst: settings.acceptProxy.mode !== "none",
      ...(frontend ? { tls: frontend.context } : {}),
      accepted: (stream) => this.accept(stream, order.frontend),
      failed: ({ code, message }) =>
        this.log("error", "accept-failed", `accepting failed: ${message}`, {
          source: "internal",
          code,
        }),
    });
  }

  private listenOn({ endpoint, fds }: ListenerOrder, slot: number): ListenOn {
    if (!this.runtime.capabilities.adoptSockets) {
      if (endpoint.family === "unix") throw new Error("Unix sockets have to be adopted");
      return { endpoint, socketOptions: listenerOptions(this.order!.settings) };
    }
    // A copy, since closing a listener closes its descriptor and the slot may be served again.
    return { endpoint, fd: this.runtime.libc.dup(fds[slot - 1]!) };
  }

  private stopListening(slot: number): void {
    for (const { listener } of this.listeners.get(slot) ?? []) listener.close();
    this.listeners.delete(slot);
  }

  /** New certificates for new connections. Where that fails, a successor will have them. */
  private swap(tls: TlsOrder): void {
    try {
      const frontends = this.contexts(tls);
      for (const { frontend, listener } of [...this.listeners.values()].flat()) {
        listener.update(frontends[frontend]!.context);
      }
      this.order = { ...this.order!, tls };
      this.frontends = frontends;
      this.staples.exchange();
    } catch (error) {
      this.staples.forgetNext();
      this.internalError(error);
      this.report({ type: "retiring" });
    }
  }

  /** Accepts no more and leaves with the last connection. */
  private drain(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    for (const slot of [...this.listeners.keys()]) this.stopListening(slot);
    this.giveUpSockets();
    this.leaveWhenEmpty();
  }

  /** As long as a process holds a socket, the kernel queues connections there. */
  private giveUpSockets(): void {
    const inherited = this.order!.listeners.flatMap(({ fds }) => fds);
    for (const fd of new Set(inherited)) this.runtime.libc.close(fd);
  }

  private leaveWhenEmpty(): void {
    if (this.isDraining && this.connections!.open === 0) this.leave();
  }

  private accept(stream: Stream, frontend: number): StreamOwner {
    const connections = this.connections!;
    if (connections.open < this.maxConnections) {
      this.isFull = false;
      return connections.accept(stream, this.frontends[frontend]?.trust);
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
  }

  private events(): ConnectionEvents {
    const isVerbose = this.order!.settings.log.level === 2;
    return {
      established: (connection) => {
        if (!isVerbose) return;
        const name = connection.clientCommonName;
        const more = name === undefined ? {} : { clientCommonName: name };
        this.logConnection("connection-established", connection, "established", more);
      },
      failed: (connection, failure) => this.logFailure(connection, failure),
      over: (connection) => {
        if (isVerbose) this.logConnection("connection-closed", connection, "closed");
        this.leaveWhenEmpty();
      },
    };
  }

  private logConnection(
    event: string,
    connection: Connection,
    what: string,
    more: LogEntry["facts"] = {},
  ): void {
    const { id, clientName, facts } = connection;
    const message = `connection ${id} from ${clientName}: ${what}`;
    this.log("debug", event, message, { ...facts, ...more });
  }

  private logFailure(connection: Connection, failure: ConnectionFailure): void {
    const { id, clientName, facts } = connection;
    const { source, code, cause } = failure;
    this.log(
      source === "internal" ? "error" : "warn",
      "connection-failed",
      `connection ${id} from ${clientName} failed, caused by ${source}: ${code}: ${cause}`,
      { ...facts, source, code, cause },
    );
  }

  /** Where the TLS library keeps every name, that of a name which a client made up as well. */
  private readonly nameAsked = (): void => {
    if (!this.runtime.capabilities.remembersNames) return;
    if (++this.rememberedNames === MAX_REMEMBERED_NAMES) this.report({ type: "retiring" });
  };

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
    const isQuiet = this.order?.settings.log.level === 0;
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

/** One socket for all slots: of Unix, or opened by the service manager. */
function isShared({ fds }: ListenerOrder): boolean {
  return fds.length > 1 && fds[0] === fds[1];
}

/** RLIMIT_NOFILE of this process. */
function descriptorLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
}
