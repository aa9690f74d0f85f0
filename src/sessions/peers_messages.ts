/** The messages between the master and the session peers' helper. */
import type { Privileges } from "../system/ids.ts";
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { isBase64, MAX_SESSION, parseSessionName, type SessionName } from "./messages.ts";

/** Commands from the master to the helper: one start, then every new session. */
export type PeersCommand = PeersStart | PeerSession;

export interface PeersStart {
  readonly type: "start";
  /** Base64 of the key that seals packets. */
  readonly key: string;
  readonly family: 4 | 6;
  /** Of this family. */
  readonly peers: readonly IpEndpoint[];
  /** The user and root directory to change to first; absent: no change. */
  readonly privileges?: Privileges;
}

/** A session of this machine, or one that another machine has sent. */
export interface PeerSession extends SessionName {
  readonly type: "session";
  /** Base64 of the TLS library's own format. */
  readonly session: string;
  /** Its remaining lifetime. */
  readonly seconds: number;
}

/** Events from the helper to the master. */
export type PeersEvent = PeerSession | LogEvent;

/**
 * Returns the event in a decoded frame, or undefined if it is not one. The helper parses data from
 * the network, so the master does not trust it.
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
