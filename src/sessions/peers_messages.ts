/** What the master and its helper for other machines tell each other. */
import type { Privileges } from "../system/ids.ts";
import { type LogEvent, parseLogEvent } from "../log/log_report.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { isBase64, MAX_SESSION, parseSessionName, type SessionName } from "./messages.ts";

/** What the master tells the helper: one start, then every new session. */
export type PeersCommand = PeersStart | PeerSession;

export interface PeersStart {
  readonly type: "start";
  /** Base64 of the key by which packets are sealed. */
  readonly key: string;
  readonly family: 4 | 6;
  /** Of this family. */
  readonly peers: readonly IpEndpoint[];
  /** What to become before anything else; absent: stay who we are. */
  readonly privileges?: Privileges;
}

/** A session that was made here, or one that another machine has told of. */
export interface PeerSession extends SessionName {
  readonly type: "session";
  /** Base64, in the TLS library's own form. */
  readonly session: string;
  /** How long it has to live. */
  readonly seconds: number;
}

/** What the helper tells the master. */
export type PeersEvent = PeerSession | LogEvent;

/**
 * The report in a decoded frame, or undefined when it is none: the helper reads what strangers
 * send, so nothing it says is believed.
 */
export function parsePeersEvent(value: unknown): PeersEvent | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  const { type, session, seconds } = fields;
  if (type !== "session") return parseLogEvent(value);
  const name = parseSessionName(fields);
  const isSession = isBase64(session, 1, MAX_SESSION) && isLifetime(seconds);
  return name && isSession ? { type, ...name, session, seconds } : undefined;
}

function isLifetime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
