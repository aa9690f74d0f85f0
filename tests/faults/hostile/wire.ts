/** A wire between a TLS client and stud that sees each record and decides how to send it. */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { setImmediate as turn } from "node:timers/promises";

/** How a wire is cut: with FIN, or with RST. */
export type Cut = "fin" | "rst";

/** Receives the records of both directions in order. */
export interface Policy {
  /** Sends a record, or a part of it. */
  send(record: Buffer, socket: Socket): Promise<void> | void;
  /** Handles a received record; false: it is not passed on to the client. */
  receive(): boolean;
}

/** A TLS client whose records pass through the policy; its errors are ignored. */
export function secure(socket: Socket, policy: Policy, options: ConnectionOptions): TLSSocket {
  const all: ConnectionOptions = {
    servername: "localhost",
    rejectUnauthorized: false,
    ...options,
    socket: new Wire(socket, policy),
  };
  const client = connect(all);
  return client.on("error", () => {});
}

/** Sends each byte in a separate segment. */
export const byteByByte: Policy = {
  async send(record, socket) {
    for (let at = 0; at < record.length; at++) {
      socket.write(record.subarray(at, at + 1));
      await turn();
    }
  },
  receive: () => true,
};

/** Cuts at a record, counted from 0 in both directions; sends half of it if it is the client's. */
export class Cutter implements Policy {
  isCut = false;
  private readonly socket: Socket;
  private readonly how: Cut;
  private left: number;

  constructor(socket: Socket, how: Cut, number: number) {
    this.socket = socket;
    this.how = how;
    this.left = number;
  }

  send(record: Buffer, socket: Socket): void {
    if (this.isCut) return;
    if (this.left-- > 0) {
      socket.write(record);
      return;
    }
    socket.write(record.subarray(0, record.length / 2), () => this.cut());
    this.isCut = true;
  }

  receive(): boolean {
    if (this.isCut) return false;
    if (this.left-- > 0) return true;
    this.isCut = true;
    this.cut();
    return false;
  }

  private cut(): void {
    if (this.how === "fin") this.socket.end();
    else this.socket.resetAndDestroy();
  }
}

class Wire extends Duplex {
  private readonly socket: Socket;
  private readonly policy: Policy;
  private readonly outgoing = new Records();
  private readonly incoming = new Records();

  constructor(socket: Socket, policy: Policy) {
    super({ allowHalfOpen: true });
    this.socket = socket;
    this.policy = policy;
    socket.on("data", (bytes: Buffer) => this.arrived(bytes));
    socket.on("end", () => this.push(null)).on("close", () => this.destroy());
  }

  override _read(): void {}

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.send(bytes).then(() => done(), done);
  }

  override _final(done: () => void): void {
    this.socket.end();
    done();
  }

  private async send(bytes: Buffer): Promise<void> {
    for (const record of this.outgoing.add(bytes)) await this.policy.send(record, this.socket);
  }

  private arrived(bytes: Buffer): void {
    for (const record of this.incoming.add(bytes)) {
      if (this.policy.receive()) this.push(record);
    }
  }
}

/** Finds records in a stream of bytes. */
class Records {
  private partial: Buffer = Buffer.alloc(0);

  /** Returns the records that are now complete. */
  add(bytes: Buffer): Buffer[] {
    const all = Buffer.concat([this.partial, bytes]);
    const whole: Buffer[] = [];
    let at = 0;
    while (at + 5 <= all.length) {
      const end = at + 5 + all.readUInt16BE(at + 3);
      if (end > all.length) break;
      whole.push(all.subarray(at, end));
      at = end;
    }
    this.partial = all.subarray(at);
    return whole;
  }
}
