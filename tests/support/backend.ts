/** Plain TCP servers as backends of stud. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { until } from "./until.ts";

/** A server on a kernel-chosen port of 127.0.0.1, which passes its connections to the test. */
export class Backend {
  readonly port: number;
  /** Connections not yet returned by `accept`; empty if a handler was given. */
  readonly waiting: Socket[];
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;

  constructor(server: Server, sockets: ReadonlySet<Socket>, waiting: Socket[]) {
    this.#server = server;
    this.#sockets = sockets;
    this.waiting = waiting;
    this.port = (server.address() as AddressInfo).port;
  }

  /** The next connection; it is half-open and paused, and its errors are in `errored`. */
  async accept(): Promise<Socket> {
    await until(() => this.waiting.length > 0, "a connection at the backend");
    return this.waiting.shift()!;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Without a handler the test gets connections with `accept`. */
export async function startBackend(handler?: (socket: Socket) => void): Promise<Backend> {
  const sockets = new Set<Socket>();
  const waiting: Socket[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    if (handler) handler(socket);
    else waiting.push(socket);
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 });
  await once(server, "listening");
  return new Backend(server, sockets, waiting);
}

/** A backend that echoes what it receives. */
export function startEcho(): Promise<Backend> {
  return startBackend((socket) => socket.pipe(socket));
}

/** A port where connection attempts hang: its queue is full and nothing accepts. */
export async function startHangingPort(): Promise<{ port: number; close(): Promise<void> }> {
  const worker = new Worker(BLOCKED_LISTENER, { eval: true });
  const [port] = await once(worker, "message") as [number];
  const fillers: Socket[] = [];
  let connected = 0;
  // A queue of length 1 holds two connections; the third waits for an answer that never comes.
  while (fillers.length < 3) {
    fillers.push(connect(port, "127.0.0.1").on("error", () => {}).on("connect", () => connected++));
  }
  await until(() => connected >= 2, "a full queue");
  return {
    port,
    async close() {
      for (const socket of fillers) socket.destroy();
      await worker.terminate();
    },
  };
}

const BLOCKED_LISTENER = `
  const { parentPort } = require("node:worker_threads");
  const server = require("node:net").createServer();
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 120_000);
  });
`;
