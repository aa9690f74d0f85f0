/** The messages between the master and the admin endpoint's helper. */
import { type LogEvent, parseLogEvent } from "../log/log_event.ts";
import type { Privileges } from "../system/ids.ts";
import type { Status } from "../status/status.ts";
import type { AdminAccess } from "./admin_plan.ts";

/** Commands from the master to the helper. */
export type AdminCommand =
  | AdminStart
  /** Other access from the next request on. */
  | { readonly type: "access"; readonly access: AdminAccess }
  /** Answers `status-wanted`. */
  | { readonly type: "status"; readonly status: Status }
  | AdminAnswer
  /** Accept no more, end streams, and exit once all answers are sent. */
  | { readonly type: "finish" };

/** The first command. */
export interface AdminStart {
  readonly type: "start";
  /** Of each listening socket, from descriptor FIRST_ADMIN_FD on: whether it is a Unix socket. */
  readonly sockets: readonly { readonly isUnix: boolean }[];
  readonly access: AdminAccess;
  /** The user and root directory to change to first; absent: no change. */
  readonly privileges?: Privileges;
}

/** Answers an action. */
export interface AdminAnswer {
  readonly type: "answer";
  /** That of the action. */
  readonly number: number;
  /** The status code of the response, and its body. */
  readonly code: number;
  readonly body: unknown;
}

/** Events from the helper to the master. */
export type AdminEvent =
  | { readonly type: "status-wanted" }
  | AdminAction
  /** Sent regularly, so that the master can replace a helper that hangs. */
  | { readonly type: "alive" }
  | LogEvent;

/** What a client asks for; answered by `answer`. */
export type AdminAction =
  & { readonly type: "action"; readonly number: number }
  & (
    | { readonly action: "reload" | "drain" }
    | { readonly action: "log-level"; readonly level: 0 | 1 | 2 }
  );

/** Interval of `alive`, in milliseconds. */
export const ALIVE_MS = 2000;
/** Actions that may wait for their answers at the same time. */
export const MAX_ACTIONS = 16;

/**
 * Returns the event in a decoded frame, or undefined if it is not one. The helper parses what clients
 * send, so the master does not trust it.
 */
export function parseAdminEvent(value: unknown): AdminEvent | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, number, action, level } = value as Record<string, unknown>;
  if (type === "status-wanted" || type === "alive") return { type };
  if (type !== "action") return parseLogEvent(value);
  if (!Number.isSafeInteger(number) || (number as number) < 0) return undefined;
  const numbered = { type, number: number as number } as const;
  if (action === "reload" || action === "drain") return { ...numbered, action };
  if (action !== "log-level" || (level !== 0 && level !== 1 && level !== 2)) return undefined;
  return { ...numbered, action, level };
}
