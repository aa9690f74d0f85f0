/** Clients that start a handshake and never finish it. */
import type { Socket } from "node:net";
import { processorTime } from "../../support/processes.ts";
import { until } from "../../support/until.ts";
import {
  type Attack,
  dial,
  type Field,
  inParallel,
  type Lap,
  lapText,
  ONE_WORKER,
} from "./attack.ts";
import { captureHello } from "./hellos.ts";

const CLIENTS = 2000;
/**
 * The option's value, in seconds, and how long latencies are measured before the attack and during
 * it, in milliseconds.
 */
const DURATIONS = {
  full: { timeout: 25, lap: 5000 },
  short: { timeout: 10, lap: 3000 },
} as const;
/** How late the last may be closed, in milliseconds: they share one timer. */
const LATENESS = 10_000;
/** A client's time starts when its connect is reported, which may be after the accept. */
const EARLINESS = 5000;
/**
 * What 2,000 bytes per second, each a separate event, may add to a latency, in milliseconds. They
 * cost a worker a few percent of its time; the clients of this test share its cores and cost more.
 */
const MEDIAN_ADDED = 5;
const P99_ADDED = 100;
/** The factor by which the worker's processor time per connection of the load may grow. */
const COST_FACTOR = 2;

/** A lap and its cost. */
interface MeasuredLap extends Lap {
  /** The worker's processor time in milliseconds per finished connection. */
  readonly cost: number;
}

export const stuck: Attack = {
  name: "slowloris",
  title: `${CLIENTS} clients stuck in the handshake: silent, after half a ClientHello, ` +
    "or sending a byte per second",
  short: true,
  setup: {
    ...ONE_WORKER,
    lines: (form) => [
      `ssl-handshake-timeout = ${durations(form).timeout}`,
      `max-handshakes = ${2 * CLIENTS}`,
    ],
  },
  async warmUp(field) {
    const clients = await besiege(field, Math.ceil(CLIENTS / field.form.divisor));
    for (const { socket } of clients) socket.resetAndDestroy();
  },
  async run(field) {
    const { timeout } = durations(field.form);
    const before = await measured(field);
    const count = Math.ceil(CLIENTS / field.form.divisor);
    const clients = await besiege(field, count);
    let during: MeasuredLap;
    const trickle = setInterval(() => clients.forEach((client) => client.next()), 1000);
    try {
      during = await measured(field);
      // On a busy machine the first may have been closed before all have connected.
      const held = clients.filter(({ endedAt }) => !endedAt).length;
      field.notes.push(lapText("before", before), lapText(`with ${held} stuck`, during));
      const isOver = () => clients.every(({ endedAt }) => endedAt);
      await until(isOver, "all stuck clients are closed", timeout * 1000 + LATENESS);
    } finally {
      clearInterval(trickle);
      for (const { socket } of clients) socket.destroy();
    }
    const ages = clients.map(({ begunAt, endedAt }) => endedAt - begunAt).sort((a, b) => a - b);
    const [first, last] = [ages[0]!, ages.at(-1)!];
    field.notes.push(`closed after ${first.toFixed(0)} to ${last.toFixed(0)} ms`);
    if (first < timeout * 1000 - EARLINESS || last > timeout * 1000 + LATENESS) {
      throw new Error(`clients were closed after ${first} to ${last} ms, not ${timeout} s`);
    }
    const after = await measured(field);
    field.notes.push(lapText("afterwards", after));
    isAsCheap([before, after], during);
    // Latencies on a machine that tests other builds at the same time say nothing about stud.
    if (field.form.divisor === 1) isUnchanged([before, after], during);
  },
};

/** A stuck client. Times are by `performance.now()`; 0 means never. */
class StuckClient {
  readonly socket: Socket;
  readonly begunAt = performance.now();
  endedAt = 0;
  private readonly slow: Buffer;
  private sent = 0;

  /** `slow` is sent byte by byte. */
  constructor(socket: Socket, atOnce: Buffer, slow: Buffer) {
    this.socket = socket;
    this.slow = slow;
    const end = () => this.endedAt ||= performance.now();
    socket.on("end", end).on("close", end);
    if (atOnce.length > 0) socket.write(atOnce);
  }

  next(): void {
    if (this.endedAt || this.sent >= this.slow.length) return;
    this.socket.write(this.slow.subarray(this.sent, ++this.sent));
  }
}

async function besiege(field: Field, count: number): Promise<StuckClient[]> {
  const clients: StuckClient[] = [];
  const hello = await captureHello({});
  const none = Buffer.alloc(0);
  const half = hello.subarray(0, hello.length / 2);
  const kinds = [
    { atOnce: none, slow: none },
    { atOnce: half, slow: none },
    { atOnce: none, slow: hello },
  ];
  await inParallel(count, 50, async (number) => {
    const socket = await dial(field.frontend, number);
    const { atOnce, slow } = kinds[number % kinds.length]!;
    clients.push(new StuckClient(socket, atOnce, slow));
  });
  return clients;
}

function durations({ divisor }: Field["form"]) {
  return divisor === 1 ? DURATIONS.full : DURATIONS.short;
}

async function measured(field: Field): Promise<MeasuredLap> {
  const [worker] = field.workers();
  await field.load.lap();
  const begun = processorTime(worker!);
  await field.keepRunning(durations(field.form).lap);
  const lap = await field.load.lap();
  return { ...lap, cost: (processorTime(worker!) - begun) / Math.max(1, lap.connections) };
}

/** Detects a worker that stuck clients keep busy, however busy the machine is. */
function isAsCheap(others: readonly MeasuredLap[], during: MeasuredLap): void {
  const was = Math.max(...others.map(({ cost }) => cost));
  if (during.cost <= COST_FACTOR * was) return;
  const [from, to] = [was, during.cost].map((cost) => cost.toFixed(2));
  throw new Error(`a connection took ${from} ms of processor time, now ${to}`);
}

/** Compares with the worse of the other laps, since other activity of the machine counts too. */
function isUnchanged(others: readonly Lap[], during: Lap): void {
  for (const what of ["handshake", "roundTrip"] as const) {
    for (const [part, added] of [["p50", MEDIAN_ADDED], ["p99", P99_ADDED]] as const) {
      const was = Math.max(...others.map((lap) => lap[what][part]));
      const is = during[what][part];
      if (is > 1.5 * was + added) {
        throw new Error(`${what} ${part} went from ${was.toFixed(1)} to ${is.toFixed(1)} ms`);
      }
    }
  }
}
