/** Clients apart from the load: they misbehave, or their backend does. */
import type { TLSSocket } from "node:tls";
import { openTls } from "../support/client.ts";
import { numbers } from "./pattern.ts";
import type { Stage } from "./stage.ts";

/** The number of bytes that each tries to send. */
const FILLING = Buffer.alloc(256 * 1024, 0xa5);

export class Peers {
  readonly #sockets: readonly TLSSocket[];
  readonly #timers: ReturnType<typeof setInterval>[] = [];

  constructor(sockets: readonly TLSSocket[]) {
    this.#sockets = sockets;
  }

  /** All send as much as they can. */
  fill(): void {
    for (const socket of this.#sockets) {
      const send = () => {
        while (socket.writable && socket.write(FILLING));
      };
      socket.on("drain", send);
      send();
    }
  }

  /** Each reads one byte per second. */
  readSlowly(): void {
    for (const socket of this.#sockets) {
      this.#timers.push(setInterval(() => socket.read(1), 1000));
    }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Connections that have asked the backend for something and do nothing else. */
export async function openIdle(stage: Stage, count: number, kind: number): Promise<Peers> {
  const random = numbers(3);
  const sockets = await Promise.all(Array.from({ length: count }, async (_, index) => {
    const localAddress = `127.2.${1 + Math.floor(random() * 250)}.${1 + index % 250}`;
    const socket = await openTls(stage.frontend, { localAddress });
    socket.write(Buffer.of(kind));
    return socket;
  }));
  const peers = new Peers(sockets);
  stage.after(() => peers.close());
  return peers;
}
