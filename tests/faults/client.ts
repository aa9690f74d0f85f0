/** One connection of the load. */
import { connect, type TLSSocket } from "node:tls";
import type { ClientOptions as TlsOptions } from "../support/client.ts";
import type { Endpoint } from "../support/endpoints.ts";
import { BackendKind } from "./backend.ts";
import type { Failure } from "./load.ts";
import { Pattern } from "./pattern.ts";

/** What a connection sends: message sizes in bytes, and the pause before each message. */
export interface Talk {
  /** The next message's length, or undefined when there is none. */
  next(): number | undefined;
  /** Milliseconds before the next message. */
  pause(): number;
  /** Sends everything and FIN at once; otherwise each message waits for the echo of the last one. */
  readonly atOnce: boolean;
}

export interface ClientOptions {
  readonly frontend: Endpoint;
  readonly localAddress: string;
  /** From 0 to below 1: where in the stream its bytes start. */
  readonly start: number;
  readonly talk: Talk;
  readonly session: Buffer | undefined;
  readonly measured: Measured;
}

/** Receives the results of a connection; times are in milliseconds. */
export interface Measured {
  served(handshake: number): void;
  echoed(bytes: number, roundTrip: number): void;
  session(session: Buffer): void;
  /** The connection has ended: successfully without a failure. */
  over(failure: Failure | undefined): void;
}

/** Sends, and compares every received byte with what was sent. */
export class Client {
  /** The time of the last progress, by `performance.now()`. */
  movedAt = performance.now();
  readonly #options: ClientOptions;
  readonly #socket: TLSSocket;
  readonly #begun = performance.now();
  readonly #sent: Pattern;
  readonly #expected: Pattern;
  #phase: Failure["phase"] = "connect";
  #localPort = 0;
  /** Bytes that have not been received back. */
  #missing = 0;
  #message = { bytes: 0, at: 0 };
  #pause: ReturnType<typeof setTimeout> | undefined;
  #hasFinished = false;
  #isOver = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#sent = new Pattern(options.start);
    this.#expected = new Pattern(options.start);
    const { frontend, localAddress, session } = options;
    const tls: TlsOptions = {
      ...frontend,
      localAddress,
      servername: "localhost",
      rejectUnauthorized: false,
      noDelay: true,
      allowHalfOpen: true,
      ...(session ? { session } : {}),
    };
    const socket = connect(tls);
    this.#socket = socket;
    socket
      // It has its port by now, and may be reset before it learns that it is connected.
      .on("connectionAttempt", () => this.#localPort = socket.localPort ?? 0)
      .on("connect", () => this.#moved("handshake"))
      .on("secureConnect", () => {
        this.#moved("exchange");
        options.measured.served(performance.now() - this.#begun);
        socket.write(Buffer.of(BackendKind.echo));
        this.#talk();
      })
      .on("session", (session: Buffer) => options.measured.session(session))
      .on("data", (bytes: Buffer) => this.#received(bytes))
      .on("end", () => this.#ended())
      .on("error", (error: NodeJS.ErrnoException) => this.#fail(this.#kind(), wordOf(error)))
      .on("close", () => this.#fail(this.#kind(), "closed"));
  }

  /** Fails the connection because nothing moved for too long. */
  late(): void {
    this.#fail("late", `${this.#missing} bytes missing`);
  }

  #talk(): void {
    const { talk } = this.#options;
    const pause = talk.pause();
    if (pause === 0 || talk.atOnce) return this.#say();
    this.#pause = setTimeout(() => this.#say(), pause);
  }

  #say(): void {
    const { talk } = this.#options;
    let bytes = talk.next();
    this.#message = { bytes: 0, at: performance.now() };
    while (bytes !== undefined) {
      this.#missing += bytes;
      this.#message.bytes += bytes;
      this.#socket.write(this.#sent.take(bytes));
      this.#moved();
      if (!talk.atOnce) return;
      bytes = talk.next();
    }
    this.#hasFinished = true;
    this.#moved();
    this.#socket.end();
  }

  #received(bytes: Buffer): void {
    this.#moved();
    this.#missing -= bytes.length;
    if (this.#missing < 0 || !this.#expected.isNext(bytes)) {
      return this.#fail("corrupted", this.#missing < 0 ? "too many bytes" : "other bytes");
    }
    if (this.#missing > 0) return;
    const { bytes: length, at } = this.#message;
    this.#options.measured.echoed(length, performance.now() - at);
    if (!this.#hasFinished) this.#talk();
  }

  #ended(): void {
    if (this.#missing > 0 || !this.#hasFinished) return this.#fail("cut", "ended early");
    this.#over(undefined);
    this.#socket.destroy();
  }

  #kind(): Failure["kind"] {
    return this.#phase === "exchange" ? "cut" : "refused";
  }

  #fail(kind: Failure["kind"], code: string): void {
    const { localAddress } = this.#options;
    this.#over({
      kind,
      code,
      phase: this.#phase,
      client: this.#localPort ? `${localAddress}:${this.#localPort}` : localAddress,
      from: Math.round(performance.timeOrigin + this.#begun),
      until: Math.round(performance.timeOrigin + performance.now()),
    });
    this.#socket.destroy();
  }

  #over(failure: Failure | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#pause);
    this.#options.measured.over(failure);
  }

  #moved(phase = this.#phase): void {
    this.movedAt = performance.now();
    this.#phase = phase;
  }
}

function wordOf({ code, message }: NodeJS.ErrnoException): string {
  return code ?? message;
}
