import type { ListenerSetup, StartCommand } from "../worker_protocol/messages.ts";
import type { LogEntry } from "../base/log_entry.ts";
import { listenerOptions } from "../os/socket_options.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TlsContext } from "../runtime/tls.ts";
import type { Listener } from "../runtime/listener.ts";
import type { ListenOn } from "../runtime/listener.ts";
import type { StreamHandler } from "../runtime/stream.ts";
import type { Stream } from "../runtime/stream.ts";
import type { Failure } from "../runtime/failure.ts";
import {
  affinityRefused,
  type AffinityRule,
  attachAffinity,
  detachAffinity,
} from "../system/affinity.ts";
import { queuesEmptied } from "../os/listen_queue.ts";

/** Maximum wait for a queue that clients keep filling, in milliseconds; the master waits longer. */
const QUEUE_LIMIT_MS = 1000;

/** What listeners need of the worker. */
export interface ListenerEvents {
  /** Returns a frontend's TLS; undefined in client mode. */
  tls(frontend: number): TlsContext | undefined;
  /** A new listener must start paused. */
  isPaused(): boolean;
  accepted(stream: Stream, frontend: number): StreamHandler;
  failed(failure: Failure): void;
  warning(entry: LogEntry): void;
}

/** A listener with the index of its frontend. */
interface OpenListener {
  readonly frontend: number;
  readonly listener: Listener;
  /** The master's socket; undefined if its queue outlives us, or there is none. */
  readonly queue: number | undefined;
}

/** The listeners of a worker: those of its slot, and of slots that it serves for others. */
export class WorkerListeners {
  private readonly runtime: Runtime;
  private readonly command: StartCommand;
  private readonly events: ListenerEvents;
  private readonly bySlot = new Map<number, OpenListener[]>();
  /** Descriptors of the sockets that this worker has bound. */
  private readonly bound: number[] = [];
  private affinity: AffinityRule | null | undefined;
  private isClosing = false;

  /** Opens no listener yet. */
  constructor(runtime: Runtime, command: StartCommand, events: ListenerEvents) {
    this.runtime = runtime;
    this.command = command;
    this.events = events;
    this.affinity = command.affinity;
  }

  /** Serves the queues of a slot. Throws an Error with an errno `code` if it cannot listen. */
  listen(slot: number): void {
    // While it closes, the slot's descriptors may already belong to connections.
    if (this.isClosing || this.bySlot.has(slot)) return;
    const opened: OpenListener[] = [];
    this.bySlot.set(slot, opened);
    for (const command of this.command.listeners) {
      // Only older addresses have sockets for slots beyond the workers; a shared one is served.
      const isOwn = slot === this.command.slot;
      if (!isOwn && (isShared(command) || slot > command.fds.length)) continue;
      const listener = this.listenAt(command, slot);
      if (this.events.isPaused()) listener.pause();
      const queue = command.activated ? undefined : command.fds[slot - 1];
      opened.push({ frontend: command.frontend, listener, queue });
    }
  }

  /** Stops serving the queues of a slot. */
  async release(slot: number): Promise<void> {
    const listeners = this.bySlot.get(slot) ?? [];
    this.bySlot.delete(slot);
    await Promise.all(listeners.map(({ listener }) => listener.close()));
  }

  /**
   * Accepts no more; fulfilled when all listeners are closed. Connections that already wait are
   * accepted first: at a stop no other worker accepts them, and a worker that was stalled finds
   * them together with the command to close.
   */
  async close(): Promise<void> {
    this.isClosing = true;
    const { libc } = this.runtime;
    if (!this.events.isPaused()) await queuesEmptied(libc, this.queues, QUEUE_LIMIT_MS, 0);
    await Promise.all([...this.bySlot.keys()].map((slot) => this.release(slot)));
    // While a process holds a socket, the kernel queues connections in it.
    const inherited = this.command.listeners.flatMap(({ fds }) => fds);
    for (const fd of new Set(inherited)) libc.close(fd);
  }

  pause(): void {
    for (const { listener } of this.all) listener.pause();
  }

  resume(): void {
    for (const { listener } of this.all) listener.resume();
  }

  /** Sets the TLS contexts for new connections, by the frontend's index. */
  update(contexts: readonly TlsContext[]): void {
    for (const { frontend, listener } of this.all) listener.update(contexts[frontend]!);
  }

  /** Starts client affinity, or ends it: the kernel then distributes clients over all workers. */
  route(affinity: AffinityRule | null): void {
    this.affinity = affinity;
    if (this.isClosing) return;
    for (const fd of this.bound) this.routeClients(fd);
  }

  /** The master's sockets that it accepts from, except those whose queues outlive us. */
  private get queues(): number[] {
    return this.all.flatMap(({ queue }) => queue ?? []);
  }

  private get all(): OpenListener[] {
    return [...this.bySlot.values()].flat();
  }

  private listenAt(command: ListenerSetup, slot: number): Listener {
    const { settings } = this.command;
    const tls = this.events.tls(command.frontend);
    return this.runtime.listen({
      on: this.listenOn(command, slot),
      backlog: settings.backlog,
      headerFirst: settings.acceptProxy.mode !== "none",
      ...(tls ? { tls } : {}),
      accepted: (stream) => this.events.accepted(stream, command.frontend),
      failed: (failure) => this.events.failed(failure),
    });
  }

  private listenOn({ endpoint, fds }: ListenerSetup, slot: number): ListenOn {
    if (!this.runtime.capabilities.adoptSockets) {
      if (endpoint.family === "unix") throw new Error("Unix sockets have to be adopted");
      const socketOptions = listenerOptions(this.command.settings);
      return { endpoint, socketOptions, bound: (fd) => this.wasBound(fd) };
    }
    // A copy, since closing a listener closes its descriptor and the slot may be served again.
    return { endpoint, fd: this.runtime.libc.dup(fds[slot - 1]!) };
  }

  private wasBound(fd: number): void {
    this.bound.push(fd);
    this.routeClients(fd);
  }

  /** Starts or ends client affinity on a socket that this worker has bound. */
  private routeClients(fd: number): void {
    const { affinity, runtime: { libc } } = this;
    // The program belongs to all sockets of the group, also those of an older configuration.
    if (affinity === undefined) return;
    if (affinity === null) return detachAffinity(libc, fd);
    if (attachAffinity(libc, fd, affinity) || this.command.slot !== 1) return;
    this.events.warning(affinityRefused(libc));
  }
}

/** All slots share one socket: a Unix socket, or one that the service manager opened. */
function isShared({ fds }: ListenerSetup): boolean {
  return fds.length > 1 && fds[0] === fds[1];
}
