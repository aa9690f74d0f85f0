import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Connections at the same time. */
export const MAX_CLIENTS = 128;
/** Requests of one connection that have been read and not yet answered. */
const MAX_PIPELINED = 8;

/** Time limits, in milliseconds: for the header or the body of a request, and between requests. */
const RECEIVE_MS = 5000;
/** The same for the first request of a client that connected before a finish. */
const LAST_MS = 1000;
const IDLE_MS = 20_000;
/** For a client that does not read its answer. */
const WRITE_MS = 30_000;
/** After this time without having read its answer, a client has to give way to another one. */
const UNREAD_MS = 1000;
const CHECK_INTERVAL_MS = 200;

/** One connection. */
export class Client {
  readonly socket: Socket;
  readonly isUnix: boolean;
  /** Requests that are not answered yet. */
  private readonly open = new Set<ServerResponse>();
  /** It is closed at this time; see {@link Clients}. */
  deadline: number;
  /** The body of a request has not arrived. */
  private isReceiving = false;
  /** It has sent a request. */
  private isUsed = false;

  constructor(socket: Socket, isUnix: boolean) {
    this.socket = socket;
    this.isUnix = isUnix;
    this.deadline = performance.now() + RECEIVE_MS;
  }

  /** Nobody waits for an answer on it. */
  get isIdle(): boolean {
    return this.open.size === 0 || this.isReceiving;
  }

  /** It has not read its answer for some time, or has not asked for the next one. */
  isUnread(now: number): boolean {
    const { deadline, isReceiving } = this;
    return !isReceiving && deadline !== Infinity && deadline - now < WRITE_MS - UNREAD_MS;
  }

  /** It has no request that a finish would lose; one that has just connected is about to send it. */
  get isDone(): boolean {
    return this.isUsed && this.open.size === 0;
  }

  /** The header of a request has arrived. False if there are too many. */
  requested(response: ServerResponse): boolean {
    this.open.add(response);
    this.isUsed = true;
    this.isReceiving = true;
    this.deadline = performance.now() + RECEIVE_MS;
    let hasEnded = false;
    const ended = () => {
      if (hasEnded) return;
      hasEnded = true;
      this.open.delete(response);
      if (this.open.size === 0) this.deadline = performance.now() + IDLE_MS;
    };
    // Not all runtimes report both in each case.
    response.on("finish", ended).on("close", ended);
    return this.open.size <= MAX_PIPELINED;
  }

  /** The whole request has arrived; the answer can take any time. */
  received(): void {
    this.isReceiving = false;
    this.deadline = Infinity;
  }

  /** It has something to read, and is closed if it does not. */
  answering(): void {
    this.isReceiving = false;
    this.deadline = performance.now() + WRITE_MS;
  }

  /** It has read everything so far, and the answer goes on. */
  caughtUp(): void {
    this.deadline = Infinity;
  }
}

/**
 * The connections of all clients, bounded in number and time. The runtimes' own time limits apply only
 * to servers that listen themselves. One more client replaces the one that has been idle for longest, or
 * else one that does not read its answer, so that those that only hold connections lock nobody out.
 */
export class Clients {
  private readonly all = new Set<Client>();
  private readonly bySocket = new WeakMap<Socket, Client>();
  private finished: (() => void) | undefined;

  constructor() {
    setInterval(() => this.check(), CHECK_INTERVAL_MS);
  }

  /** Adds a connection. False if it must be closed: all others are waiting for answers. */
  add(socket: Socket, isUnix: boolean): boolean {
    if (this.all.size >= MAX_CLIENTS && !this.replaceIdle()) return false;
    const client = new Client(socket, isUnix);
    this.all.add(client);
    this.bySocket.set(socket, client);
    socket.on("close", () => this.remove(client));
    return true;
  }

  of({ socket }: IncomingMessage): Client | undefined {
    return this.bySocket.get(socket);
  }

  /** Closes idle connections, and calls back when the others have been answered. */
  finish(finished: () => void): void {
    this.finished = finished;
    const limit = performance.now() + LAST_MS;
    for (const client of this.all) {
      if (client.isIdle) client.deadline = Math.min(client.deadline, limit);
    }
    this.check();
  }

  private replaceIdle(): boolean {
    // The first is the oldest.
    const all = [...this.all];
    const now = performance.now();
    const idle = all.find(({ isIdle }) => isIdle) ?? all.find((each) => each.isUnread(now));
    if (!idle) return false;
    this.close(idle);
    return true;
  }

  private check(): void {
    const now = performance.now();
    for (const client of this.all) {
      if (client.deadline < now || (this.finished && client.isDone)) this.close(client);
    }
    if (this.all.size === 0) this.finished?.();
  }

  private close(client: Client): void {
    this.remove(client);
    client.socket.destroy();
  }

  private remove(client: Client): void {
    this.all.delete(client);
    if (this.all.size === 0) this.finished?.();
  }
}
