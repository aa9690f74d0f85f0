import { type CounterReport, parseCounterReport } from "../base/counters.ts";
import type { ServedTls } from "../certificates/served_tls.ts";
import type { CountedNames } from "../connection/counters.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import type { LogConfig, WorkerSettings } from "../options/config.ts";
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { StapleCommand } from "../ocsp/staples.ts";
import { parseSessionEvent, type SessionEvent, type SessionFound } from "../sessions/messages.ts";
import type { AffinityRule } from "../system/affinity.ts";
import type { Privileges } from "../system/ids.ts";
import type { TicketRing } from "../tickets/ring.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { IpEndpoint } from "../os/endpoint.ts";

/** A command of the master to a worker. */
export type WorkerCommand =
  | StartCommand
  /** Serve the queues of these slots too, until `release`. */
  | { readonly type: "adopt"; readonly slots: readonly number[] }
  | { readonly type: "release"; readonly slots: readonly number[] }
  /** Connect new connections to this address. */
  | { readonly type: "backend"; readonly backend: Endpoint }
  | SwapCommand
  | StapleCommand
  /** Use these session ticket keys. */
  | { readonly type: "tickets"; readonly ring: TicketRing }
  /** Report the next connect that succeeds: the backend is down, or was not connected yet. */
  | { readonly type: "expect-answer" }
  | SessionFound
  | LimitCommand
  /** Log at this level, whatever the settings say. */
  | { readonly type: "log-level"; readonly level: LogConfig["level"] }
  /** The predecessor of `StartCommand.sharesSockets` no longer has the sockets. */
  | { readonly type: "sockets-owned" }
  /** As in {@link StartCommand}, for the sockets that it has bound. */
  | { readonly type: "affinity"; readonly affinity: AffinityRule | null }
  /** Accept no more, answer with `draining`, and exit after the last connection closes. */
  | { readonly type: "drain" }
  /** Exit at once, which cuts all connections. */
  | { readonly type: "exit" }
  | { readonly type: "ping" };

/** Everything that a worker needs; it reads no files and resolves no names. */
export interface StartCommand {
  readonly type: "start";
  /** 1 for the first worker. */
  readonly slot: number;
  /** The slots whose queues it serves: its own, and those beyond the number of workers. */
  readonly serves: readonly number[];
  readonly settings: WorkerSettings;
  /** In client mode without certificates. */
  readonly tls: ServedTls;
  /** Only in client mode. */
  readonly backendTls?: ClientTlsSettings;
  readonly backend: Endpoint;
  readonly backendSources: readonly IpEndpoint[];
  readonly listeners: readonly ListenerSetup[];
  /** What it counts separately. */
  readonly counted: CountedNames;
  /** It also measures times and sizes of connections, and the delay of its event loop. Absent: no. */
  readonly measures?: boolean;
  /**
   * A predecessor serves the same sockets until the master takes over: a worker that loses its
   * master before that must not change them. Absent: no.
   */
  readonly sharesSockets?: boolean;
  /** Overrides that of `settings`. */
  readonly logLevel?: LogConfig["level"];
  /** The inherited descriptor of the access log's pipe; absent: there is no access log. */
  readonly accessLog?: number;
  /** Only with `capabilities.ticketKeys`. */
  readonly tickets?: TicketRing;
  /** As in {@link LimitCommand}. */
  readonly connections?: number;
  /**
   * What workers that bind their own sockets attach to them; null: they detach what is attached.
   * Absent until the configuration is in service, since other workers share the program.
   */
  readonly affinity?: AffinityRule | null;
  /** The identity to assume once everything is open; absent: keep the current one. */
  readonly privileges?: Privileges;
}

/** One listening address. */
export interface ListenerSetup {
  readonly endpoint: Endpoint;
  /** The inherited descriptor for slot 1, 2 …, which slots may share; empty if there is none. */
  readonly fds: readonly number[];
  /** The service manager opened it; it outlives us with its queue. */
  readonly activated: boolean;
  /** The index in `ServedTls.frontends`. */
  readonly frontend: number;
}

/**
 * New certificates for new connections; only with `capabilities.swapCertificates`. Answered with
 * `swapped`; a repeated command is answered without another swap.
 */
export interface SwapCommand extends Acknowledged {
  readonly type: "tls";
  readonly tls: ServedTls;
}

/** The worker's connection quota; answered with `limited`. */
export interface LimitCommand extends Acknowledged {
  readonly type: "limit";
  /** Absent: no limit. */
  readonly connections?: number;
}

/** A command that is repeated until it is answered. */
interface Acknowledged {
  /** The answer has the same number, and so has a repeated command. */
  readonly number: number;
}

/** An event of a worker, for the master. */
export type WorkerEvent = LifecycleEvent | SharedEvent;

/** Events that concern the worker's slot or its connection quota. */
export type LifecycleEvent =
  /** All its sockets accept connections. */
  | { readonly type: "ready" }
  /** It cannot start; `message` is one line for the operator. */
  | { readonly type: "failed"; readonly message: string }
  /**
   * It wants a successor: after SIGTERM, after a fault, or because its TLS library keeps too many
   * names. It accepts connections until the successor does, unless it cannot read commands.
   */
  | { readonly type: "successor-wanted" }
  /** It uses the certificates of the `tls` command, or has asked for a successor. */
  | ({ readonly type: "swapped" } & Acknowledged)
  /** It observes the quota of the `limit` command; `open` is the number of its connections. */
  | ({ readonly type: "limited"; readonly open: number } & Acknowledged)
  /** It has handled `drain` and accepts no more, or it answers a ping. */
  | ({ readonly type: "draining" | "pong" } & WorkerState);

/** Events that concern the whole service, whichever worker sends them. */
export type SharedEvent = LogEvent | BackendEvent | SessionEvent;

/** The handlers of shared events. `answer` sends a command to the worker, if it keeps up. */
export type SharedEventHandlers = {
  readonly [Type in SharedEvent["type"]]: (
    event: Extract<SharedEvent, { readonly type: Type }>,
    answer: (command: WorkerCommand) => void,
  ) => void;
};

export interface WorkerState {
  /** Connections that are open. */
  readonly open: number;
  /** What the worker has counted since its start. */
  readonly counters: CounterReport;
  /** The longest recent delay of its event loop, in milliseconds; absent if it is not measured. */
  readonly loopDelayMs?: number;
}

/** What a worker reports about the backend, at most about once a second. */
export type BackendEvent =
  | BackendFailed
  /** It can be connected again; `at` is a time of the shared clock, in milliseconds. */
  | { readonly type: "backend-answers"; readonly at: number };

/** Failed connects since the last report, with the last one's reason. */
export interface BackendFailed extends Pick<ConnectionFailure, "source" | "cause"> {
  readonly type: "backend-failed";
  readonly failures: number;
  /** When the last one failed, by the shared clock, in milliseconds. */
  readonly at: number;
  readonly code: string;
}

/**
 * Parses the event in a decoded frame. Returns undefined if it is not valid: a compromised worker
 * must not be able to confuse the master.
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
  "successor-wanted": () => ({ type: "successor-wanted" }),
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
  { open, counters: value, loopDelayMs }: Record<string, unknown>,
): WorkerEvent | undefined {
  const counters = parseCounterReport(value);
  if (!isCount(open) || !counters) return undefined;
  if (loopDelayMs === undefined) return { type, open, counters };
  return isTime(loopDelayMs) && loopDelayMs < Infinity
    ? { type, open, counters, loopDelayMs }
    : undefined;
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
