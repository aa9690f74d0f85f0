/** What workers and the master tell each other of TLS 1.2 sessions. */

/** By which a session is known; both in base64. */
export interface SessionName {
  /** As `policyOf` names it. */
  readonly policy: string;
  readonly id: string;
}

/** What a worker tells the master. */
export type SessionEvent = SessionMade | SessionWanted;

export interface SessionMade extends SessionName {
  readonly type: "session-made";
  /** Base64, in the TLS library's own form. */
  readonly session: string;
}

/** To be answered by {@link SessionFound}. */
export interface SessionWanted extends SessionName {
  readonly type: "session-wanted";
  /** The worker's own for the question. */
  readonly number: number;
}

export interface SessionFound {
  readonly type: "session-found";
  readonly number: number;
  /** Absent: there is none. */
  readonly session?: string;
}

/** Bytes of a policy, which is a SHA-256. */
export const POLICY_LENGTH = 32;
/** The most bytes of an id (RFC 5246 section 7.4.1.2), which is never empty. */
export const MAX_ID = 32;
/** The most bytes of a session that is kept; one with a client certificate has one or two thousand. */
export const MAX_SESSION = 4096;

/** The report in a decoded frame of that type, or undefined when it is none. */
export function parseSessionEvent(value: Record<string, unknown>): SessionEvent | undefined {
  const { type, number, session } = value;
  const name = parseSessionName(value);
  if (!name) return undefined;
  if (type === "session-made") {
    return isBase64(session, 1, MAX_SESSION) ? { type, ...name, session } : undefined;
  }
  const isNumber = type === "session-wanted" && Number.isSafeInteger(number);
  return isNumber ? { type, ...name, number: number as number } : undefined;
}

/** The name in a decoded frame. */
export function parseSessionName(
  { policy, id }: Record<string, unknown>,
): SessionName | undefined {
  const isName = isBase64(policy, POLICY_LENGTH, POLICY_LENGTH) && isBase64(id, 1, MAX_ID);
  return isName ? { policy, id } : undefined;
}

/** Whether it is the one base64 text of at least `least` and at most `most` bytes. */
export function isBase64(value: unknown, least: number, most: number): value is string {
  if (typeof value !== "string" || value.length > Math.ceil(most / 3) * 4) return false;
  const bytes = Buffer.from(value, "base64");
  return bytes.length >= least && bytes.length <= most && bytes.toString("base64") === value;
}
