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

/** The longest that others may go on filling a queue, in milliseconds; the master waits for longer. */
const QUEUE_LIMIT_MS = 1000;

/** What listeners need of their worker. */
export interface ListenerEvents {
  /** A frontend's TLS; undefined in client mode. */
  tls(frontend: number): TlsContext | undefined;
  /** One that is opened just now is to wait. */
  isPaused(): boolean;
  accepted(stream: Stream, frontend: number): StreamHandler;
  failed(failure: Failure): void;
  warning(entry: LogEntry): void;
}

/** A listener with the place of its frontend. */
interface OpenListener {
  readonly frontend: number;
  readonly listener: Listener;
  /** The master's socket; undefined where its queue outlives all of us, or it has none. */
  readonly queue: number | undefined;
}

/** Where a worker accepts: the sockets of its slot, and of slots that it serves for others. */
export class WorkerListeners {
  private readonly runtime: Runtime;
  private readonly command: StartCommand;
  private readonly events: ListenerEvents;
  private readonly bySlot = new Map<number, OpenListener[]>();
  /** Descriptors of those that this worker has bound by itself. */
  private readonly bound: number[] = [];
  private affinity: AffinityRule | undefined;
  private isClosing = false;

  /** Listens nowhere yet. */
  constructor(runtime: Runtime, command: StartCommand, events: ListenerEvents) {
    this.runtime = runtime;
    this.command = command;
    this.events = events;
    this.affinity = command.affinity;
  }

  /** Serves the queues of a slot. Throws an Error with an errno `code` when it cannot. */
  listen(slot: number): void {
    // The descriptors of one that closes may belong to connections by now.
    if (this.isClosing || this.bySlot.has(slot)) return;
    const opened: OpenListener[] = [];
    this.bySlot.set(slot, opened);
    for (const command of this.command.listeners) {
      // Of a slot beyond the workers only older addresses have a socket; one for all is served.
      const isOwn = slot === this.command.slot;
      if (!isOwn && (isShared(command) || slot > command.fds.length)) continue;
      const listener = this.listenAt(command, slot);
      if (this.events.isPaused()) listener.pause();
      const queue = command.activated ? undefined : command.fds[slot - 1];
      opened.push({ frontend: command.frontend, listener, queue });
    }
  }

  /** Leaves a slot's queues to others. */
  async release(slot: number): Promise<void> {
    const listeners = this.bySlot.get(slot) ?? [];
    this.bySlot.delete(slot);
    await Promise.all(listeners.map(({ listener }) => listener.close()));
  }

  /**
   * Accepts no more, for good; fulfilled when all is closed. What waits already is accepted first: at
   * a stop nobody else does, and one that was held up finds it together with the order to close.
   */
  async close(): Promise<void> {
    this.isClosing = true;
    const { libc } = this.runtime;
    if (!this.events.isPaused()) await queuesEmptied(libc, this.queues, QUEUE_LIMIT_MS, 0);
    await Promise.all([...this.bySlot.keys()].map((slot) => this.release(slot)));
    // As long as a process holds a socket, the kernel queues connections there.
    const inherited = this.command.listeners.flatMap(({ fds }) => fds);
    for (const fd of new Set(inherited)) libc.close(fd);
  }

  pause(): void {
    for (const { listener } of this.all) listener.pause();
  }

  resume(): void {
    for (const { listener } of this.all) listener.resume();
  }

  /** New connections are served by these, each at the place of its frontend. */
  update(contexts: readonly TlsContext[]): void {
    for (const { frontend, listener } of this.all) listener.update(contexts[frontend]!);
  }

  /** Clients are no longer brought to always the same worker. */
  balance(): void {
    this.affinity = undefined;
    if (this.isClosing) return;
    for (const fd of this.bound) detachAffinity(this.runtime.libc, fd);
  }

  /** The master's sockets that it accepts from, but for those whose queues outlive all of us. */
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
      return { endpoint, socketOptions, bound: (fd) => this.guide(fd) };
    }
    // A copy, since closing a listener closes its descriptor and the slot may be served again.
    return { endpoint, fd: this.runtime.libc.dup(fds[slot - 1]!) };
  }

  /** Brings clients to always the same worker, or to any, on a socket that this one has bound. */
  private guide(fd: number): void {
    const { affinity, runtime: { libc } } = this;
    this.bound.push(fd);
    // The group may have the program of an older configuration.
    if (!affinity) return detachAffinity(libc, fd);
    if (attachAffinity(libc, fd, affinity) || this.command.slot !== 1) return;
    this.events.warning(affinityRefused(libc));
  }
}

/** One socket for all slots: of Unix, or opened by the service manager. */
function isShared({ fds }: ListenerSetup): boolean {
  return fds.length > 1 && fds[0] === fds[1];
}
