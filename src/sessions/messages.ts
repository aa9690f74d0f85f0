/** The messages between workers and the master about TLS 1.2 sessions. */

/** Identifies a session; both members are base64. */
export interface SessionName {
  /** The verification policy, as `policyOf` names it. */
  readonly policy: string;
  readonly id: string;
}

/** Events from a worker to the master. */
export type SessionEvent = SessionMade | SessionWanted;

export interface SessionMade extends SessionName {
  readonly type: "session-made";
  /** Base64 of the TLS library's own format. */
  readonly session: string;
}

/** The master answers it with {@link SessionFound}. */
export interface SessionWanted extends SessionName {
  readonly type: "session-wanted";
  /** The worker's number of the question. */
  readonly number: number;
}

export interface SessionFound {
  readonly type: "session-found";
  readonly number: number;
  /** Absent: not found. */
  readonly session?: string;
}

/** Length of a policy in bytes, which is a SHA-256. */
export const POLICY_LENGTH = 32;
/** Maximum length of an id in bytes (RFC 5246 section 7.4.1.2); it is never empty. */
export const MAX_ID = 32;
/** Maximum size of a session in bytes; with a client certificate it has one or two thousand. */
export const MAX_SESSION = 4096;

/** Returns the session event in a decoded frame, or undefined if it is not one. */
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

/** Returns the session's name in a decoded frame, or undefined if it has none. */
export function parseSessionName(
  { policy, id }: Record<string, unknown>,
): SessionName | undefined {
  const isName = isBase64(policy, POLICY_LENGTH, POLICY_LENGTH) && isBase64(id, 1, MAX_ID);
  return isName ? { policy, id } : undefined;
}

/** Whether it is canonical base64 of at least `least` and at most `most` bytes. */
export function isBase64(value: unknown, least: number, most: number): value is string {
  if (typeof value !== "string" || value.length > Math.ceil(most / 3) * 4) return false;
  const bytes = Buffer.from(value, "base64");
  return bytes.length >= least && bytes.length <= most && bytes.toString("base64") === value;
}
