/** What an attack of a hostile client is, and what it is given. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Endpoint } from "../../support/endpoints.ts";
import type { Target } from "../../support/target.ts";
import { until, within } from "../../support/until.ts";
import type { Form } from "../scenario.ts";

/** One attack; it has the form of a scenario of the fault suite. */
export interface Attack {
  /** Words joined by `-`. */
  readonly name: string;
  /** What is done, for the report. */
  readonly title: string;
  /** Part of the short form. */
  readonly short?: boolean;
  /** Targets of which it cannot be asked are left out. */
  readonly appliesTo?: (target: Target) => boolean;
  readonly setup: { readonly workers: number; readonly lines?: readonly string[] };
  /**
   * Done once before memory is measured: an allocator keeps pages of what was once in use, and
   * what is asked for is that they do not become more.
   */
  readonly warmUp?: (field: Field) => Promise<void>;
  /** Rejects when stud does not do what was promised. */
  run(field: Field): Promise<void>;
}

/** A stud that serves a load while it is attacked. */
export interface Field {
  readonly target: Target;
  /** `divisor` divides what is done in large numbers; `replay` is as in {@link Form}. */
  readonly form: Pick<Form, "divisor" | "replay">;
  readonly frontend: Endpoint;
  readonly backend: { readonly endpoint: Endpoint };
  readonly certificates: { readonly localhost: string };
  readonly load: { lap(): Promise<Lap> };
  /** Facts for the report. */
  readonly notes: string[];
  workers(): number[];
  /** An ordinary connection works. */
  ordinary(): Promise<void>;
  /** The load goes on for so long. */
  goOn(ms: number): Promise<void>;
  /** Runs at the end, whatever came of it. */
  after(cleanup: () => unknown): void;
}

/** Latencies of the load since the last lap, in milliseconds. */
export interface Lap {
  /** Connections that ended well. */
  readonly connections: number;
  readonly handshake: { readonly p50: number; readonly p99: number };
  readonly roundTrip: { readonly p50: number; readonly p99: number };
}

/** One worker serves the load and the attack: nothing is done beside it. */
export const ONE_WORKER = { workers: 1 } as const;

/** The first byte of a connection asks the suite's backend to send back the rest. */
export const ECHO = Buffer.from("E");

/** A loopback address for the client with this number; none is used by the load. */
export function sourceAddress(number: number): string {
  return `127.77.${(number >> 7) & 0x7f}.${1 + (number & 0x7f)}`;
}

/** Connected over TCP; what comes is dropped until somebody listens, and errors are passed over. */
export async function dial(frontend: Endpoint, number: number): Promise<Socket> {
  const socket = connect({
    ...frontend,
    localAddress: sourceAddress(number),
    noDelay: true,
    allowHalfOpen: true,
  });
  socket.on("error", () => {}).resume();
  await within(once(socket, "connect"), "a TCP connection");
  return socket;
}

/** Waits until stud has ended the connection, with FIN or RST. */
export async function isEnded(socket: Socket, what: string, ms?: number): Promise<void> {
  await until(() => socket.readableEnded || socket.destroyed, `stud ends ${what}`, ms);
}

/** Runs `act` for 0, 1, … `count - 1`, so many at once; the first that rejects ends it. */
export async function inParallel(
  count: number,
  atOnce: number,
  act: (number: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const inTurn = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, inTurn));
}

/** A text for the report. */
export function lapText(what: string, { handshake, roundTrip }: Lap): string {
  const text = ({ p50, p99 }: Lap["handshake"]) => `${p50.toFixed(1)}/${p99.toFixed(1)}`;
  return `${what}: handshake ${text(handshake)}, round trip ${text(roundTrip)} ms (p50/p99)`;
}
