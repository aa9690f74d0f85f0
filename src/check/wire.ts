/** A TCP connection or a Unix socket to the server that is checked, with bounds on size and time. */
import type { Socket } from "node:net";
import { CheckFault } from "./fault.ts";

/** Where to connect: a numeric address, or the path of a Unix socket. */
export type Place = { readonly host: string; readonly port: number } | { readonly path: string };

/** More bytes in one connection are no handshake, in bytes. */
const MAX_RECEIVED = 1024 * 1024;

export class Wire {
  private readonly socket: Socket;
  private readonly limit: number;
  private chunks: Buffer[] = [];
  private length = 0;
  private total = 0;
  private ended = false;
  private fault: CheckFault | undefined;
  private deadline = 0;
  private wake = () => {};

  /** Connects within `limit` milliseconds. Rejects with a CheckFault. */
  static async open(place: Place, limit: number): Promise<Wire> {
    // Not before it is needed: a bundle loads static imports in every process.
    const { connect } = await import("node:net");
    const socket = connect({ ...place, allowHalfOpen: true });
    const wire = new Wire(socket, limit);
    let connected = false;
    socket.once("connect", () => {
      connected = true;
      wire.wake();
    });
    wire.beginStep();
    await wire.until(() => connected, `no connection after ${seconds(limit)}`);
    socket.setNoDelay();
    return wire;
  }

  private constructor(socket: Socket, limit: number) {
    this.socket = socket;
    this.limit = limit;
    socket.on("data", (bytes: Buffer) => this.take(bytes));
    socket.on("end", () => {
      this.ended = true;
      this.wake();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => this.fail(error));
    socket.on("close", () => {
      this.ended = true;
      this.wake();
    });
  }

  /** Gives what follows the time of one step, or `limit` milliseconds. */
  beginStep(limit = this.limit): void {
    this.deadline = performance.now() + limit;
  }

  /** Returns exactly so many bytes. Rejects with a CheckFault. */
  async read(length: number): Promise<Buffer> {
    await this.until(() => this.length >= length || this.ended, this.silence());
    if (this.length < length) {
      throw this.fault ?? new CheckFault(
        "closed",
        this.total === 0
          ? "the server closed the connection without an answer"
          : "the server closed the connection in the middle of its answer",
      );
    }
    const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    this.chunks = [all.subarray(length)];
    this.length -= length;
    return all.subarray(0, length);
  }

  /** Whether bytes are left to read; waits for them or for the end. Rejects with a CheckFault. */
  async hasMore(): Promise<boolean> {
    await this.until(() => this.length > 0 || this.ended, this.silence());
    if (this.length === 0 && this.fault) throw this.fault;
    return this.length > 0;
  }

  /** All bytes that have arrived and were not read, at most `length`. */
  peek(length: number): Buffer {
    return Buffer.concat(this.chunks).subarray(0, length);
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends FIN. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  private take(bytes: Buffer): void {
    this.total += bytes.length;
    if (this.total > MAX_RECEIVED) {
      this.fault ??= new CheckFault(
        "malformed",
        `the server sent more than ${MAX_RECEIVED} bytes for one handshake`,
      );
      this.ended = true;
      this.socket.destroy();
    } else {
      this.chunks.push(bytes);
      this.length += bytes.length;
    }
    this.wake();
  }

  private fail({ code = "unknown error" }: NodeJS.ErrnoException): void {
    const isReset = code === "ECONNRESET" || code === "EPIPE" || code === "ECONNABORTED";
    this.fault ??= isReset
      ? new CheckFault("reset", "the server reset the connection")
      : new CheckFault("unreachable", reasons[code] ?? `cannot connect (${code})`);
    this.ended = true;
    this.socket.destroy();
    this.wake();
  }

  private silence(): string {
    const what = this.total === 0 ? "the server sent nothing" : "the server's answer is incomplete";
    return `${what} after ${seconds(this.limit)}`;
  }

  private async until(isDone: () => boolean, late: string): Promise<void> {
    while (!isDone()) {
      if (this.fault) throw this.fault;
      const rest = this.deadline - performance.now();
      if (rest <= 0) {
        // What came from a server that does not speak TLS names its protocol.
        throw new CheckFault("timeout", late, { received: this.peek(64) });
      }
      let timer;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        timer = setTimeout(resolve, rest);
      });
      clearTimeout(timer);
    }
  }
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused: nothing listens there",
  EHOSTUNREACH: "no route to this host",
  ENETUNREACH: "no route to this network",
  ETIMEDOUT: "the host does not answer",
  EACCES: "permission denied",
  ENOENT: "there is no such socket",
  ENOTSOCK: "it is not a socket",
  EINVAL: "the address is not usable here",
};
