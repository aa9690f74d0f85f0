/**
 * A process for tests/unit/runtime_faults.test.ts: at each event in turn, a handler throws. It prints
 * the outcome of each as a line of JSON.
 */
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import * as runtime from "#runtime";
import { TimeoutQueue } from "../../src/base/timeout_queue.ts";
import { type IdleHolder, IdleTimeouts } from "../../src/connection/idle_timeouts.ts";
import { localhostCertificate } from "../../src/certificates/localhost.ts";
import { AF_INET, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "../../src/os/constants.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import { readSockaddr, sockaddr, SOCKADDR_SIZE } from "../../src/os/sockaddr.ts";
import { cInt } from "../../src/os/structures.ts";
import type { Failure } from "../../src/runtime/failure.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Stream, StreamHandler } from "../../src/runtime/stream.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import { plainSettings } from "./tls_settings.ts";
import { until, within } from "./until.ts";

/** The outcome of a fault. */
export interface Outcome {
  readonly name: string;
  /** Messages that reached the process. */
  readonly reported: readonly string[];
  /** Number of `closed` events, and their failure; null: none. */
  readonly closes: number;
  readonly failure: Failure | null;
  /** How the connection ended for the peer: an errno, or "end". */
  readonly peer: string;
  /** Sockets of the fault that stay open. */
  readonly left: number;
  /** Whether the same listener serves the next client. */
  readonly serves: boolean;
}

const { capabilities, libc, connect, listen, createTlsContext }: Runtime = runtime;
const MiB = 1024 * 1024;

const reported: string[] = [];
const note = (error: unknown) => void reported.push((error as Error).message);
process.on("uncaughtException", note);
process.on("unhandledRejection", note);

/** The events of a handler, each of which its peer provokes. */
const events = ["opened", "received", "writable", "ended", "closed"] as const;
type Event = (typeof events)[number];

type Kind = "tls" | "plain" | "header";

async function acceptedFault(
  kind: Kind,
  event:
    | Event
    | "accepted"
    | "select"
    | "identity"
    | "certificate"
    | "header"
    | "tickets"
    | "staple"
    | "find"
    | "store",
): Promise<void> {
  const name = `${kind} ${event}`;
  let isFaulty = true;
  const handlers: FaultyHandler[] = [];
  const fault = (at: string) => {
    if (isFaulty && at === event) throw new Error(name);
  };
  const certificates = [localhostCertificate()].map(({ key, certificate }) => ({
    chain: certificate,
    key,
  }));
  const settings: Partial<TlsSettings> = {
    choice: true,
    select(serverName) {
      if (serverName === "faulty.test") fault("select");
      return serverName === "faulty.test" ? 1 : 0;
    },
    identity(number) {
      if (number === 1) fault("identity");
      const isBroken = number === 1 && event === "certificate" && isFaulty;
      return {
        certificates: isBroken ? [{ chain: "no certificate", key: "" }] : certificates,
        ...(event === "staple"
          ? {
            staple: () => {
              fault("staple");
              return undefined;
            },
          }
          : {}),
      };
    },
    ...(event === "tickets"
      ? {
        ticketKeys: {
          answer(_policy, keyName, iv) {
            fault("tickets");
            return [0, Buffer.alloc(16), Buffer.alloc(16), keyName, iv];
          },
        },
      }
      : {}),
    ...(event === "find" || event === "store"
      ? {
        protocols: ["TLSv1.2"],
        tickets: false,
        sessions: {
          find(_policy, _id, answer) {
            fault("find");
            answer(undefined);
          },
          store: () => fault("store"),
        },
      }
      : {}),
  };
  const { port, close } = listenOn(kind, settings, () => {
    fault("accepted");
    const handler = new FaultyHandler(fault, kind === "header");
    handlers.push(handler);
    return handler;
  });
  const before = sockets();
  const client = await dial(kind, port, "faulty.test", event);
  const peer = await within(client.ended, `the end of ${name}`);
  // A refusal by the TLS library is reported in its own words, if at all.
  const isReported = () => event === "certificate" || reported.includes(name);
  await until(() => handlers.every((handler) => handler.closes > 0), `closed after ${name}`);
  await until(isReported, `a report of ${name}`);
  await until(() => sockets(before) === 0, `sockets of ${name} closed`);
  const left = sockets(before);
  const [handler] = handlers;
  isFaulty = false;
  const next = await dial(kind, port, "localhost", "ended");
  const serves = await within(next.ended, `the next client of ${name}`) === "end";
  print({ name, peer, left, serves, handler });
  close();
}

async function backendFault(event: Event): Promise<void> {
  const name = `backend ${event}`;
  let peer: Promise<string> | undefined;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    peer = endOf(socket);
    provoke(socket, event);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const before = sockets();
  const handler = new FaultyHandler((at) => {
    if (at === event) throw new Error(name);
  }, false);
  const { port } = server.address() as AddressInfo;
  connect(loopback(port), handler);
  await until(() => handler.closes > 0, `closed after ${name}`);
  await until(() => reported.includes(name), `a report of ${name}`);
  await until(() => peer, `the peer of ${name}`);
  const met = await within(peer!, `the end of ${name}`);
  await until(() => sockets(before) === 0, `sockets of ${name} closed`);
  const left = sockets(before);
  server.close();
  print({ name, peer: met, left, serves: true, handler });
}

/** Of two limits that elapse at once, the first one's holder throws. */
async function timerFault(): Promise<void> {
  const name = "timer";
  const expired: string[] = [];
  const timeouts = new TimeoutQueue<string>(0.01, (holder) => {
    expired.push(holder);
    if (holder === "faulty") throw new Error(name);
  });
  timeouts.start("faulty");
  timeouts.start("other");
  await until(() => expired.length === 2, "the other limit");
  await until(() => reported.includes(name), "a report");
  print({ name, peer: "", left: 0, serves: true, handler: undefined });
}

/** Of two idle holders, the first one throws. */
async function idleFault(): Promise<void> {
  const name = "idle";
  const expired: object[] = [];
  const [faulty, other] = [0, 1].map(() => ({ isActive: true, idleRounds: 0, isBlocked: false }));
  const timeouts = new IdleTimeouts<IdleHolder>(0.01, (holder) => {
    expired.push(holder);
    if (holder === faulty) throw new Error(name);
  });
  timeouts.start(faulty!);
  timeouts.start(other!);
  await until(() => expired.length === 2, "the other holder");
  await until(() => reported.includes(name), "a report");
  print({ name, peer: "", left: 0, serves: true, handler: undefined });
}

async function promiseFault(): Promise<void> {
  const name = "promise";
  void Promise.reject(new Error(name));
  await until(() => reported.includes(name), "a report");
  print({ name, peer: "", left: 0, serves: true, handler: undefined });
}

/** Answers its peer, half-closes when its peer does, and throws where `fault` does. */
class FaultyHandler implements StreamHandler {
  closes = 0;
  failure: Failure | undefined;
  private isBeforeTls: boolean;
  private readonly fault: (at: string) => void;

  constructor(fault: (at: string) => void, isBeforeTls: boolean) {
    this.fault = fault;
    this.isBeforeTls = isBeforeTls;
  }

  opened(stream: Stream): void {
    this.fault("opened");
    stream.write(new TextEncoder().encode("hello"));
  }

  received(stream: Stream, bytes: Uint8Array): void {
    if (this.isBeforeTls) {
      this.fault("header");
      this.isBeforeTls = false;
      return stream.startTls(bytes.slice(1));
    }
    this.fault("received");
    // "w": requests more than the kernel takes.
    if (bytes[0] === 0x77) stream.write(new Uint8Array(16 * MiB));
    // "c": requests a reset.
    if (bytes[0] === 0x63) stream.reset();
  }

  writable(): void {
    this.fault("writable");
  }

  ended(stream: Stream): void {
    this.fault("ended");
    stream.finish();
  }

  closed(_: Stream, failure: Failure | undefined): void {
    this.closes++;
    this.failure = failure;
    this.fault("closed");
  }
}

interface Client {
  /** How the connection ends: an errno, or "end". */
  readonly ended: Promise<string>;
}

/**
 * Connects a client that provokes an event. Its TLS bytes go through a plain socket, since not every
 * runtime reports a reset to a TLS client.
 */
async function dial(kind: Kind, port: number, servername: string, event: string): Promise<Client> {
  const tcp = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
  const ended = endOf(tcp);
  if (kind === "plain") {
    tcp.on("connect", () => provoke(tcp, event));
    return { ended };
  }
  // One byte is the header.
  if (kind === "header") tcp.write("H");
  const relay = createServer({ allowHalfOpen: true }, (inner) => {
    inner.on("error", () => {}).pipe(tcp).pipe(inner);
    tcp.on("close", () => inner.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const client = connectTls({
    ...loopback((relay.address() as AddressInfo).port),
    host: "127.0.0.1",
    servername,
    rejectUnauthorized: false,
    ...(event === "store" ? { maxVersion: "TLSv1.2" } : {}),
    ...(event === "staple" ? { requestOCSP: true } : {}),
  } as ConnectionOptions);
  client.on("error", () => {});
  client.on("secureConnect", () => provoke(client, event));
  tcp.on("close", () => relay.close());
  return { ended };
}

function provoke(socket: Socket, event: string): void {
  socket.on("data", () => {});
  if (event === "received") socket.write("r");
  else if (event === "closed") socket.write("c");
  else if (event === "writable") socket.write("w");
  else if (event !== "opened") socket.end();
}

function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on("error", (error) => resolve(codeOf(error)));
    socket.on("close", () => resolve("end"));
    socket.on("end", () => socket.end());
  });
}

function codeOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}

function listenOn(
  kind: Kind,
  settings: Partial<TlsSettings>,
  accepted: (stream: Stream) => StreamHandler,
): { port: number; close: () => void } {
  const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const any = sockaddr(loopback(0));
  libc.bind(fd, any, any.length);
  const address = new Uint8Array(SOCKADDR_SIZE);
  libc.getsockname(fd, address, cInt(SOCKADDR_SIZE));
  const endpoint = readSockaddr(address) as IpEndpoint;
  if (!capabilities.adoptSockets) libc.close(fd);
  const listener = listen({
    on: capabilities.adoptSockets ? { fd, endpoint } : { endpoint, socketOptions: [] },
    backlog: 16,
    headerFirst: kind === "header",
    ...(kind === "plain" ? {} : { tls: createTlsContext({ ...plainSettings, ...settings }) }),
    accepted,
    failed: ({ message }) => reported.push(`failed: ${message}`),
  });
  return { port: endpoint.port, close: () => void listener.close() };
}

function loopback(port: number): IpEndpoint {
  return { family: 4, address: "127.0.0.1", port };
}

/** Returns the open TCP sockets, or the number of new ones; runtimes open other sockets themselves. */
function sockets(): ReadonlySet<string>;
function sockets(before: ReadonlySet<string>): number;
function sockets(before?: ReadonlySet<string>): ReadonlySet<string> | number {
  const address = new Uint8Array(SOCKADDR_SIZE);
  const links = readdirSync("/proc/self/fd").flatMap((fd) => {
    if (libc.getsockname(Number(fd), address, cInt(SOCKADDR_SIZE)) !== 0) return [];
    return readSockaddr(address)?.family === 4 ? [readlinkSync(`/proc/self/fd/${fd}`)] : [];
  });
  if (!before) return new Set(links);
  return links.filter((link) => !before.has(link)).length;
}

function print(
  { name, handler, ...rest }: Pick<Outcome, "name" | "peer" | "left" | "serves"> & {
    handler: FaultyHandler | undefined;
  },
): void {
  const outcome: Outcome = {
    name,
    reported: reported.splice(0),
    closes: handler?.closes ?? 0,
    failure: handler?.failure ?? null,
    ...rest,
  };
  console.log(JSON.stringify(outcome));
}

async function run(): Promise<void> {
  for (
    const kind of [
      "tls",
      "plain",
      ...(capabilities.headerFirst ? ["header"] as const : []),
    ] as const
  ) {
    await acceptedFault(kind, "accepted");
    for (const event of events) await acceptedFault(kind, event);
  }
  await acceptedFault("tls", "select");
  await acceptedFault("tls", "identity");
  await acceptedFault("tls", "certificate");
  if (capabilities.headerFirst) await acceptedFault("header", "select");
  if (capabilities.headerFirst) await acceptedFault("header", "header");
  if (capabilities.ticketKeys) await acceptedFault("tls", "tickets");
  if (capabilities.staples) await acceptedFault("tls", "staple");
  if (capabilities.sessionCache) {
    await acceptedFault("tls", "find");
    await acceptedFault("tls", "store");
  }
  for (const event of events) await backendFault(event);
  await timerFault();
  await idleFault();
  await promiseFault();
}

run().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
