import type { ConnectionFailure } from "../connection/failure.ts";
import type { Config, SessionConfig } from "../options/config.ts";
import type { LogEntry } from "../log.ts";
import { parseSessionEvent, type SessionEvent, type SessionFound } from "../sessions/messages.ts";
import type { AffinityRule } from "../system/affinity.ts";
import type { TicketRing } from "../tickets/ring.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { ClientTlsSettings, TlsParameters } from "../runtime/tls.ts";

/** What the master tells a worker. */
export type WorkerCommand =
  | StartCommand
  /** Serve the queues of these slots too, until their own worker is back. */
  | { readonly type: "adopt"; readonly slots: readonly number[] }
  | { readonly type: "release"; readonly slots: readonly number[] }
  /** From now on, new connections go here. */
  | { readonly type: "backend"; readonly backend: Endpoint }
  /** New certificates for new connections; only with `capabilities.swapCertificates`. */
  | { readonly type: "tls"; readonly tls: ServedTls }
  | StapleCommand
  /** Tickets are made and read by these from now on. */
  | { readonly type: "tickets"; readonly ring: TicketRing }
  /** Another worker could not connect the backend: report when it answers. */
  | { readonly type: "backend-down" }
  | SessionFound
  | LimitCommand
  /** Take the program of `StartCommand.affinity` away. */
  | { readonly type: "balance" }
  /** Accept no more and leave with the last connection. */
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
  /** Only with `capabilities.ticketKeys`. */
  readonly tickets?: TicketRing;
  /** As in {@link LimitCommand}. */
  readonly connections?: number;
  /** Where workers bind by themselves: what to attach to their sockets; absent: nothing. */
  readonly affinity?: AffinityRule | undefined;
  /** What to become once everything is open; absent: stay who we are. */
  readonly privileges?: Privileges;
}

/** What of the configuration a worker acts by. */
export interface WorkerSettings extends WorkerConfig {
  readonly sessions: Pick<SessionConfig, "cache" | "tickets" | "timeout">;
}

type WorkerConfig = Pick<
  Config,
  | "acceptProxy"
  | "backendConnectTimeout"
  | "backlog"
  | "engine"
  | "halfCloseTimeout"
  | "handshakeTimeout"
  | "idleTimeout"
  | "keepalive"
  | "limits"
  | "log"
  | "maxLifetime"
  | "pinWorkers"
  | "prefix"
  | "proxyTlvs"
  | "recvBufsize"
  | "sendBufsize"
  | "tcpFastopen"
>;

/** Numeric ids, and a directory that becomes the root ("" leaves the root). */
export interface Privileges extends Ids {
  readonly chroot: string;
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
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

/** All certificates of a configuration, and which frontend has which. */
export interface ServedTls {
  readonly certificates: readonly StoredCertificate[];
  /** Who verifies clients how; certificates and frontends point here. */
  readonly trusts: readonly Trust[];
  /** In the order of the configuration's frontends. */
  readonly frontends: readonly FrontendTls[];
  /** Protocol names, the server's favourite first. */
  readonly alpn: readonly string[];
}

/** A certificate in the store that master and workers share (`certificates/store.ts`). */
export interface StoredCertificate {
  /** For which it is chosen by SNI: lower case, `*.` before a wildcard's parent. */
  readonly names: readonly string[];
  /** Certificates of different types serve one name side by side. */
  readonly keyType: "rsa" | "ec" | "ed25519";
  /** Where its {@link Material} is, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** A place in `ServedTls.trusts` that counts instead of the frontend's. */
  readonly trust?: number;
}

/** What the store holds of a certificate, as JSON. */
export interface Material {
  /** PEM, the leaf first. */
  readonly chain: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
  /** PEM. */
  readonly dhParameters?: string;
}

export interface Trust {
  readonly mode: "none" | "optional" | "required";
  /** PEM; "" where the mode is none. */
  readonly ca: string;
  /** PEM, or "". */
  readonly crl: string;
}

export interface FrontendTls extends TlsParameters {
  /** Places in `ServedTls.certificates`; the last one is its default. */
  readonly own: readonly number[];
  /** Where a name is looked up that `own` lacks; its last one is the default if `own` is empty. */
  readonly global: readonly number[];
  readonly sniNomatchAbort: boolean;
  /** A place in `ServedTls.trusts`. */
  readonly trust: number;
}

/** A new OCSP response for the certificate at this place. */
export interface StapleCommand {
  readonly type: "staple";
  readonly certificate: number;
  /** Base64 of the DER. */
  readonly response: string;
  /** Milliseconds since 1970 until which it may be served; Infinity does not survive JSON: absent. */
  readonly until?: number;
  /** Its place is one in the `tls` order that follows. */
  readonly next?: true;
}

/** The worker's share of the connections of all workers; it answers with `limited`. */
export interface LimitCommand {
  readonly type: "limit";
  /** Absent: no limit. */
  readonly connections?: number;
}

/** What a worker tells the master. */
export type WorkerEvent =
  /** All sockets accept. */
  | { readonly type: "ready" }
  /** It cannot serve and leaves; `message` is one line for the operator. */
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "log"; readonly entry: LogEntry }
  | BackendEvent
  | SessionEvent
  /**
   * It wants a successor, since somebody asked it to end, or its TLS library remembers too many
   * names; it serves until then.
   */
  | { readonly type: "retiring" }
  /** It obeyed `tls`: new connections get those certificates, or it has asked for a successor. */
  | { readonly type: "swapped" }
  /** It keeps to the last `limit`, and has so many connections. */
  | { readonly type: "limited"; readonly open: number }
  /** It obeyed `drain` and accepts no more, or answers a ping: so many connections are open. */
  | { readonly type: "draining" | "pong"; readonly open: number } & WorkerCounts;

/** What a worker has counted since it began. */
export interface WorkerCounts {
  /** Connections. */
  readonly accepted: number;
  /** Handshakes with clients; both 0 without `capabilities.tlsFacts`. */
  readonly full: number;
  readonly resumed: number;
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

const levels = ["debug", "info", "warn", "error"];

/**
 * The report in a decoded frame, or undefined when it is none: a worker that was taken over by an
 * attacker must not be able to confuse the master.
 */
export function parseWorkerEvent(value: unknown): WorkerEvent | undefined {
  if (!isObject(value)) return undefined;
  switch (value.type) {
    case "ready":
    case "retiring":
    case "swapped":
      return { type: value.type };
    case "draining":
    case "pong":
      return parseCounts(value.type, value);
    case "backend-answers":
      return isTime(value.at) ? { type: "backend-answers", at: value.at } : undefined;
    case "backend-failed":
      return parseBackendFailed(value);
    case "session-made":
    case "session-wanted":
      return parseSessionEvent(value);
    case "failed":
      return typeof value.message === "string"
        ? { type: "failed", message: value.message }
        : undefined;
    case "limited":
      return isCount(value.open) ? { type: value.type, open: value.open } : undefined;
    case "log":
      return isLogEntry(value.entry) ? { type: "log", entry: value.entry } : undefined;
    default:
      return undefined;
  }
}

function parseCounts(
  type: "draining" | "pong",
  { open, accepted, full, resumed }: Record<string, unknown>,
): WorkerEvent | undefined {
  if (!isCount(open) || !isCount(accepted) || !isCount(full) || !isCount(resumed)) {
    return undefined;
  }
  return { type, open, accepted, full, resumed };
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

function isLogEntry(value: unknown): value is LogEntry {
  return isObject(value) && levels.includes(value.level as string) &&
    typeof value.event === "string" && typeof value.message === "string" &&
    isObject(value.facts) && Object.values(value.facts).every(isScalar);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}
