/** The process of the load; see load.ts. */
import process from "node:process";
import { Client, type Measured, type Talk } from "./client.ts";
import {
  type Failure,
  type Lap,
  type LoadOptions,
  type LoadOrder,
  type LoadReport,
  MAX_FAILURES,
  type Percentiles,
} from "./load.ts";
import { numbers } from "./pattern.ts";

/** Milliseconds between two checks for late connections. */
const CHECK_INTERVAL = 250;
/** Milliseconds that a client waits after a failure, so that refusals cause no storm. */
const AFTER_FAILURE = 200;
/** The largest message of a burst, in bytes. */
const LARGEST = 192 * 1024;
/** The number of latest times of each kind that a lap includes. */
const MAX_TIMES = 100_000;

const options = JSON.parse(process.argv[2]!) as Required<LoadOptions>;
const random = numbers(options.seed);
const open = new Set<Client>();
const failures: Failure[] = [];
let connections = 0;
let bytes = 0;
let unlisted = 0;
let lap = emptyLap();
/** Clients that were served once or have failed. */
let begun = 0;
let isStopping = false;
/** Incremented by each renewal: conversations that started before it end. */
let age = 0;

process.on("message", ({ type }: LoadOrder) => {
  if (type === "lap") return tellLap();
  if (type === "renew") return void age++;
  isStopping = true;
  tellResults();
});
// The process that started this one has exited.
process.on("disconnect", () => process.exit(1));

setInterval(() => {
  const oldest = performance.now() - options.patience;
  for (const client of open) if (client.movedAt < oldest) client.late();
}, CHECK_INTERVAL);

for (let index = 0; index < options.clients; index++) {
  // They start one after the other, not all at once.
  setTimeout(() => visit(index), index * 4);
}

/** One connection after another, until the load stops. */
function visit(index: number, session?: Buffer, isFirst = true): void {
  if (isStopping) return tellResults();
  connections++;
  let latest = session;
  const first = () => {
    if (!isFirst) return;
    isFirst = false;
    if (++begun === options.clients) tell({ type: "running" });
  };
  const measured: Measured = {
    served(handshake) {
      first();
      keep(lap.handshakes, handshake);
    },
    echoed(length, roundTrip) {
      bytes += length;
      keep(lap.roundTrips, roundTrip);
    },
    session: (made) => latest = made,
    over(failure) {
      open.delete(client);
      first();
      if (!failure) lap.connections++;
      else if (failures.length < MAX_FAILURES) failures.push(failure);
      else unlisted++;
      if (isStopping) return tellResults();
      setTimeout(() => visit(index, latest, false), failure ? AFTER_FAILURE : random() * 40);
    },
  };
  const client = new Client({
    frontend: options.frontend,
    // Each client has its own address, so none runs out of ports.
    localAddress: `127.1.${index >> 7}.${1 + (index & 127)}`,
    start: random(),
    talk: index % 4 === 0 ? longTalk() : shortTalk(),
    // Half of those that return resume.
    session: random() < 0.5 ? session : undefined,
    measured,
  });
  open.add(client);
}

/** Continues until the load stops or renews. */
function longTalk(): Talk {
  const born = age;
  return {
    next: () => isStopping || age !== born ? undefined : size(4096),
    pause: () => 40 + random() * 200,
    atOnce: false,
  };
}

function shortTalk(): Talk {
  const kind = random();
  const atOnce = kind < 0.2;
  let messages = atOnce ? 1 + Math.floor(random() * 3) : kind < 0.4 ? 1 : 6;
  return {
    next: () => messages-- > 0 ? size(atOnce ? LARGEST : 16 * 1024) : undefined,
    pause: () => random() * 250,
    atOnce,
  };
}

/** Small ones are more frequent, and sizes of one byte and around a TLS record are among them. */
function size(largest: number): number {
  const kind = random();
  if (kind < 0.1) return 1;
  if (kind < 0.15) return Math.min(largest, 16 * 1024 + Math.floor(random() * 3) - 1);
  return 1 + Math.floor(random() ** 3 * (largest - 1));
}

function emptyLap() {
  return { connections: 0, handshakes: [] as number[], roundTrips: [] as number[] };
}

function keep(times: number[], time: number): void {
  if (times.length < MAX_TIMES) times.push(time);
}

function tellLap(): void {
  const { connections, handshakes, roundTrips } = lap;
  const report: Lap = {
    connections,
    handshake: percentiles(handshakes),
    roundTrip: percentiles(roundTrips),
  };
  lap = emptyLap();
  tell({ type: "lap", lap: report });
}

/** As soon as every connection has ended. */
function tellResults(): void {
  if (open.size > 0) return;
  tell({ type: "results", results: { connections, bytes, failures, unlisted } });
}

function percentiles(times: number[]): Percentiles {
  times.sort((a, b) => a - b);
  const at = (part: number) => times[Math.floor(part * (times.length - 1))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: times.at(-1) ?? 0 };
}

function tell(report: LoadReport): void {
  process.send!(report);
}
