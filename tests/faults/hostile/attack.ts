/** The type of a hostile client's attack, and its context. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Endpoint } from "../../support/endpoints.ts";
import type { Target } from "../../support/target.ts";
import { until, within } from "../../support/until.ts";
import type { Form, Lines } from "../scenario.ts";

/** One attack, similar to a scenario of the fault suite. */
export interface Attack {
  /** Words joined by `-`. */
  readonly name: string;
  /** Describes the attack in the report. */
  readonly title: string;
  /** Part of the short form. */
  readonly short?: boolean;
  /** Whether it applies to a target. */
  readonly appliesTo?: (target: Target) => boolean;
  readonly setup: { readonly workers: number; readonly lines?: Lines };
  /**
   * Runs once before memory is measured: an allocator keeps pages that were once in use, and the
   * promise is that they do not grow.
   */
  readonly warmUp?: (field: Field) => Promise<void>;
  /** Rejects if stud breaks a promise. */
  run(field: Field): Promise<void>;
}

/** A stud that serves a load during the attack. */
export interface Field {
  readonly target: Target;
  /** `divisor` divides large repetition counts; `replay` is as in {@link Form}. */
  readonly form: Pick<Form, "divisor" | "replay">;
  readonly frontend: Endpoint;
  readonly backend: { readonly endpoint: Endpoint };
  readonly certificates: { readonly localhost: string };
  readonly load: { lap(): Promise<Lap> };
  /** Facts for the report. */
  readonly notes: string[];
  workers(): number[];
  /** Checks that an ordinary connection works. */
  ordinary(): Promise<void>;
  /** Lets the load continue for this time, in milliseconds. */
  keepRunning(ms: number): Promise<void>;
  /** Runs at the end, whatever the result. */
  after(cleanup: () => unknown): void;
}

/** Latencies of the load since the last lap, in milliseconds. */
export interface Lap {
  /** Successful connections. */
  readonly connections: number;
  readonly handshake: { readonly p50: number; readonly p99: number };
  readonly roundTrip: { readonly p50: number; readonly p99: number };
}

/** One worker serves both the load and the attack. */
export const ONE_WORKER = { workers: 1 } as const;

/** As the first byte of a connection, makes the suite's backend echo the rest. */
export const ECHO = Buffer.from("E");

/** A loopback address for the client with this number, not used by the load. */
export function sourceAddress(number: number): string {
  return `127.77.${(number >> 7) & 0x7f}.${1 + (number & 0x7f)}`;
}

/** Connects over TCP; incoming data is dropped until there is a listener, errors are ignored. */
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

/** Waits until stud has closed the connection, with FIN or RST. */
export async function isEnded(socket: Socket, what: string, ms?: number): Promise<void> {
  await until(() => socket.readableEnded || socket.destroyed, `stud closes ${what}`, ms);
}

/** Runs `act` for 0, 1, … `count - 1`, limited in number at once; stops at the first rejection. */
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
