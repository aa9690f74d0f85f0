/**
 * A TLS client for what the public load generators cannot do: X25519MLKEM768, and many idle
 * connections. It runs in the benchmark's own process.
 */
import { once } from "node:events";
import { connect, createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Endpoint } from "../../tests/support/endpoints.ts";
import { until, within } from "../../tests/support/until.ts";
import { CIPHERS } from "./command.ts";

export type Group = "X25519" | "X25519MLKEM768";

const REQUEST = "GET /small HTTP/1.1\r\nHost: localhost\r\n";

/**
 * Makes `count` connections, `concurrency` at a time, each with a full handshake and one request.
 * Throws unless each one gets a 200 after a handshake with the requested group.
 */
export async function fullHandshakes(
  at: Endpoint,
  load: { group: Group; count: number; concurrency: number },
): Promise<void> {
  const context = contextOf(load.group);
  let left = load.count;
  const visits = async () => {
    while (left-- > 0) {
      const group = await visit(at, context);
      if (group !== load.group) throw new Error(`the group is ${group}, not ${load.group}`);
    }
  };
  await within(Promise.all(Array.from({ length: load.concurrency }, visits)), "all handshakes");
}

/** Connections that have had one answer and are now idle. */
export class IdleClients {
  readonly #at: Endpoint;
  readonly #context = contextOf("X25519");
  readonly #sockets: TLSSocket[] = [];

  constructor(at: Endpoint) {
    this.#at = at;
  }

  /** Opens more connections, 50 at a time; throws if one gets no answer. */
  async open(count: number): Promise<void> {
    let left = count;
    const opener = async () => {
      while (left-- > 0) {
        const socket = open(this.#at, this.#context);
        this.#sockets.push(socket);
        await ask(socket);
      }
    };
    await within(Promise.all(Array.from({ length: 50 }, opener)), "idle connections", 60_000);
  }

  /** Makes one more request on each; throws if one gets no answer. */
  async ask(): Promise<void> {
    await within(Promise.all(this.#sockets.map(ask)), "answers to idle connections", 60_000);
  }

  /** Closes all; throws if the proxy had closed one before. */
  async close(): Promise<void> {
    const lost = this.#sockets.filter((socket) => socket.destroyed).length;
    for (const socket of this.#sockets) socket.destroy();
    await until(() => this.#sockets.every((socket) => socket.closed), "closed connections");
    if (lost > 0) throw new Error(`${lost} idle connections were closed by the proxy`);
  }
}

async function ask(socket: TLSSocket): Promise<void> {
  socket.write(`${REQUEST}\r\n`);
  const [answer] = await once(socket, "data");
  if (!String(answer).startsWith("HTTP/1.1 200 ")) throw new Error(`answered ${answer}`);
}

function contextOf(group: Group): SecureContext {
  return createSecureContext({
    ...{ minVersion: "TLSv1.3", maxVersion: "TLSv1.3" },
    ...{ ciphers: CIPHERS["TLSv1.3"], ecdhCurve: group },
  });
}

function open(at: Endpoint, secureContext: SecureContext): TLSSocket {
  const identity = { servername: "localhost", rejectUnauthorized: false };
  return connect({ ...at, ...identity, secureContext }).setNoDelay(true);
}

/**
 * Makes one connection with one request, to its clean end; returns the group of its key exchange.
 * Throws unless the answer is 200.
 */
async function visit(at: Endpoint, context: SecureContext): Promise<string | undefined> {
  const socket = open(at, context);
  let text = "";
  let group: string | undefined;
  socket.once("secureConnect", () => {
    // Node's types lack the name of a group.
    group = (socket.getEphemeralKeyInfo() as { name?: string } | null)?.name;
  });
  socket.on("data", (bytes: Buffer) => text += bytes.toString("latin1"));
  socket.write(`${REQUEST}Connection: close\r\n\r\n`);
  await once(socket, "end");
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`answered ${text.split("\r\n")[0]}`);
  return group;
}
