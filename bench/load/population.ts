/** Returning clients with many addresses, on Node's own TLS. */
import { once } from "node:events";
import { connect, createSecureContext, type TLSSocket } from "node:tls";
import type { Endpoint } from "../../tests/support/endpoints.ts";
import { within } from "../../tests/support/until.ts";
import { CIPHERS } from "./command.ts";

const REQUEST = "GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/** Concurrent clients. */
const CONCURRENCY = 16;
const LIMIT_MS = 60_000;

/** Clients, each with its own address and session, that have connected once before. */
export class Population {
  readonly #at: Endpoint;
  readonly #clients: readonly Client[];

  private constructor(at: Endpoint, size: number) {
    this.#at = at;
    this.#clients = Array.from(
      { length: size },
      (_, i) => new Client(`127.9.${i >> 8}.${i & 255}`),
    );
  }

  /** Creates `size` clients; each makes its first connection. */
  static async create(at: Endpoint, size: number): Promise<Population> {
    const population = new Population(at, size);
    await population.reconnect(1, false);
    return population;
  }

  /**
   * Each client connects `times` times, and offers its newest session if `offering`. Returns the
   * numbers of all and of resumed handshakes.
   */
  async reconnect(times: number, offering: boolean): Promise<{ all: number; resumed: number }> {
    let resumed = 0;
    for (let time = 0; time < times; time++) {
      const waiting = [...this.#clients];
      const visits = async () => {
        for (let client = waiting.pop(); client; client = waiting.pop()) {
          if (await client.visit(this.#at, offering)) resumed++;
        }
      };
      const all = Promise.all(Array.from({ length: CONCURRENCY }, visits));
      await within(all, "returning clients", LIMIT_MS);
    }
    return { all: times * this.#clients.length, resumed };
  }
}

class Client {
  readonly #address: string;
  #session: Buffer | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /** Makes one connection with one request; true if it resumed. Throws unless the answer is 200. */
  async visit(at: Endpoint, offering: boolean): Promise<boolean> {
    const session = offering ? this.#session : undefined;
    const socket: TLSSocket = connect({
      ...at,
      ...{ localAddress: this.#address, secureContext, servername: "localhost" },
      rejectUnauthorized: false,
      ...(session ? { session } : {}),
    });
    let text = "";
    socket.on("session", (made: Buffer) => this.#session = made);
    socket.on("data", (bytes: Buffer) => text += bytes.toString("latin1"));
    socket.write(REQUEST);
    await once(socket, "end");
    if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`answered ${text.split("\r\n")[0]}`);
    return socket.isSessionReused();
  }
}

const secureContext = createSecureContext({
  ...{ minVersion: "TLSv1.3", maxVersion: "TLSv1.3" },
  ...{ ciphers: CIPHERS["TLSv1.3"], ecdhCurve: "X25519" },
});
