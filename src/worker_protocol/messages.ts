import { type CounterReport, parseCounterReport } from "../base/counters.ts";
import type { ServedTls } from "../certificates/served_tls.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import type { WorkerSettings } from "../options/config.ts";
import { type LogEvent, parseLogEvent } from "../log/log_report.ts";
import type { StapleCommand } from "../ocsp/staples.ts";
import { parseSessionEvent, type SessionEvent, type SessionFound } from "../sessions/messages.ts";
import type { AffinityRule } from "../system/affinity.ts";
import type { Privileges } from "../system/ids.ts";
import type { TicketRing } from "../tickets/ring.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { IpEndpoint } from "../os/endpoint.ts";

/** What the master tells a worker. */
export type WorkerCommand =
  | StartCommand
  /** Serve the queues of these slots too, until their own worker is back. */
  | { readonly type: "adopt"; readonly slots: readonly number[] }
  | { readonly type: "release"; readonly slots: readonly number[] }
  /** From now on, new connections go here. */
  | { readonly type: "backend"; readonly backend: Endpoint }
  | SwapCommand
  | StapleCommand
  /** Tickets are made and read by these from now on. */
  | { readonly type: "tickets"; readonly ring: TicketRing }
  /** Another worker could not connect the backend: report when it answers. */
  | { readonly type: "backend-down" }
  | SessionFound
  | LimitCommand
  /** The sockets of `StartCommand.sharesSockets` are this master's alone from now on. */
  | { readonly type: "sockets-owned" }
  /** Take the program of `StartCommand.affinity` away. */
  | { readonly type: "balance" }
  /** Accept no more and leave with the last connection; it answers with `draining`. */
  | { readonly type: "drain" }
  /** End at once, with all connections. */
  | { readonly type: "leave" }
  | { readonly type: "ping" };

/** Everything a worker needs; it reads no file and resolves no name. */
export interface StartCommand {
  readonly type: "start";
  /** 1 for the first worker. */
  readonly slot: number;
  /** The slots whose queues it serves: its own, and those beyond the number of workers. */
  readonly serves: readonly number[];
  readonly settings: WorkerSettings;
  /** Without certificates in client mode. */
  readonly tls: ServedTls;
  /** Client mode. */
  readonly backendTls?: ClientTlsSettings;
  readonly backend: Endpoint;
  readonly backendSources: readonly IpEndpoint[];
  readonly listeners: readonly ListenerSetup[];
  /**
   * A predecessor serves the same sockets until the master takes over: a worker whose master fails
   * before that must leave them as they are. Absent: no.
   */
  readonly sharesSockets?: boolean;
  /** Only with `capabilities.ticketKeys`. */
  readonly tickets?: TicketRing;
  /** As in {@link LimitCommand}. */
  readonly connections?: number;
  /** Where workers bind by themselves: what to attach to their sockets; absent: nothing. */
  readonly affinity?: AffinityRule | undefined;
  /** What to become once everything is open; absent: stay who we are. */
  readonly privileges?: Privileges;
}

/** One listening address. */
export interface ListenerSetup {
  readonly endpoint: Endpoint;
  /** The inherited descriptor for slot 1, 2 …, which may be the same for all; empty where none. */
  readonly fds: readonly number[];
  /** The service manager's, which outlives us with its queue. */
  readonly activated: boolean;
  /** Its place in `ServedTls.frontends`. */
  readonly frontend: number;
}

/**
 * New certificates for new connections; only with `capabilities.swapCertificates`. It answers with
 * `swapped`, and to a repeated command without swapping again.
 */
export interface SwapCommand extends Acknowledged {
  readonly type: "tls";
  readonly tls: ServedTls;
}

/** The worker's share of the connections of all workers; it answers with `limited`. */
export interface LimitCommand extends Acknowledged {
  readonly type: "limit";
  /** Absent: no limit. */
  readonly connections?: number;
}

/** A command that is repeated until its answer comes. */
interface Acknowledged {
  /** The answer carries it too; a repeated command has the same one. */
  readonly number: number;
}

/** What a worker tells the master. */
export type WorkerEvent = LifecycleEvent | SharedEvent;

/** Events that concern the worker's slot, or its share of the connections. */
export type LifecycleEvent =
  /** All sockets accept. */
  | { readonly type: "ready" }
  /** It cannot serve and leaves; `message` is one line for the operator. */
  | { readonly type: "failed"; readonly message: string }
  /**
   * It wants a successor, since somebody asked it to end, or its TLS library remembers too many
   * names; it serves until then.
   */
  | { readonly type: "retiring" }
  /** New connections get the certificates of the `tls` command, or it has asked for a successor. */
  | ({ readonly type: "swapped" } & Acknowledged)
  /** It keeps to the `limit` command; `open` is the number of its connections. */
  | ({ readonly type: "limited"; readonly open: number } & Acknowledged)
  /** It handled `drain` and accepts no more, or answers a ping. */
  | ({ readonly type: "draining" | "pong" } & WorkerState);

/** Events that concern the whole service, whichever worker they come from. */
export type SharedEvent = LogEvent | BackendEvent | SessionEvent;

/** What handles shared events, by type. `answer` sends a command to the worker if it keeps up. */
export type SharedEventHandlers = {
  readonly [Type in SharedEvent["type"]]: (
    event: Extract<SharedEvent, { readonly type: Type }>,
    answer: (command: WorkerCommand) => void,
  ) => void;
};

export interface WorkerState {
  /** Connections that are open. */
  readonly open: number;
  /** What the worker has counted since it began. */
  readonly counters: CounterReport;
}

/** What a worker learns of the backend, about once a second at most. */
export type BackendEvent =
  | BackendFailed
  /** It can be connected, which it could not be before; `at` is a time of the shared clock. */
  | { readonly type: "backend-answers"; readonly at: number };

/** So many connects failed since the last report; the last one's reason. */
export interface BackendFailed extends Pick<ConnectionFailure, "source" | "cause"> {
  readonly type: "backend-failed";
  readonly failures: number;
  /** When the last one did, by the shared clock. */
  readonly at: number;
  readonly code: string;
}

/**
 * Parses the event in a decoded frame; undefined if it is none: a worker that was taken over by an
 * attacker must not be able to confuse the master.
 */
export function parseWorkerEvent(value: unknown): WorkerEvent | undefined {
  if (!isObject(value) || !isType(value.type)) return undefined;
  return parsers[value.type](value);
}

/** Calls the handler of an event. */
export function handleSharedEvent(
  handlers: SharedEventHandlers,
  event: SharedEvent,
  answer: (command: WorkerCommand) => void,
): void {
  // TypeScript does not see that the handler is the one for this event.
  const handle = handlers[event.type] as (event: SharedEvent, answer: unknown) => void;
  handle(event, answer);
}

const parsers: Readonly<
  Record<WorkerEvent["type"], (value: Record<string, unknown>) => WorkerEvent | undefined>
> = {
  "ready": () => ({ type: "ready" }),
  "failed": ({ message }) => typeof message === "string" ? { type: "failed", message } : undefined,
  "retiring": () => ({ type: "retiring" }),
  "swapped": ({ number }) => isCount(number) ? { type: "swapped", number } : undefined,
  "limited": ({ number, open }) =>
    isCount(number) && isCount(open) ? { type: "limited", number, open } : undefined,
  "draining": (value) => parseState("draining", value),
  "pong": (value) => parseState("pong", value),
  "log": parseLogEvent,
  "backend-answers": ({ at }) => isTime(at) ? { type: "backend-answers", at } : undefined,
  "backend-failed": parseBackendFailed,
  "session-made": parseSessionEvent,
  "session-wanted": parseSessionEvent,
};

function isType(value: unknown): value is WorkerEvent["type"] {
  return typeof value === "string" && Object.hasOwn(parsers, value);
}

function parseState(
  type: "draining" | "pong",
  { open, counters: value }: Record<string, unknown>,
): WorkerEvent | undefined {
  const counters = parseCounterReport(value);
  return isCount(open) && counters ? { type, open, counters } : undefined;
}

function parseBackendFailed(value: Record<string, unknown>): BackendFailed | undefined {
  const { failures, at, source, code, cause } = value;
  if (!Number.isSafeInteger(failures) || (failures as number) < 1 || !isTime(at)) return undefined;
  if (source !== "backend" && source !== "internal") return undefined;
  if (typeof code !== "string" || typeof cause !== "string") return undefined;
  return { type: "backend-failed", failures: failures as number, at, source, code, cause };
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
