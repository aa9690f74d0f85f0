/** Ends a connection as a client that half-closes it, and observes what the server does. */
import { CheckFault, parsing } from "./fault.ts";
import { NEW_SESSION_TICKET, readTicket } from "./handshake13.ts";
import { TLS_1_3 } from "./numbers.ts";
import { ALERT, APPLICATION, HANDSHAKE } from "./records.ts";
import type { Session } from "./session.ts";

/** What a server did after the client's close_notify and FIN. */
export interface Farewell {
  /** The number of bytes of the application that arrived after the handshake. */
  readonly bytes: number;
  readonly end:
    | "close_notify"
    /** The end of TCP without close_notify. */
    | "FIN"
    | "reset"
    | "alert"
    /** Nothing more came within the time. */
    | "open"
    /** More came than is read here. */
    | "endless";
  /** For `alert`. */
  readonly alert?: number;
  /** Until the end, in milliseconds. */
  readonly ms: number;
}

/** More of an answer is of no interest, in bytes. */
const ENOUGH = 256 * 1024;
const WARNING = 1;
const CLOSE_NOTIFY = 0;
/** More tickets are of no use. */
const MAX_TICKETS = 16;

/**
 * Sends `request`, close_notify and FIN; reads for at most `limit` milliseconds. A TLS 1.3 session
 * gets the tickets that arrive.
 */
export async function farewell(
  session: Session,
  request: string,
  limit: number,
): Promise<Farewell> {
  const { records } = session;
  const { wire } = records;
  wire.beginStep(limit);
  const start = performance.now();
  let bytes = 0;
  const result = (end: Farewell["end"], alert?: number): Farewell => ({
    ...{ bytes, end, ms: performance.now() - start },
    ...(alert === undefined ? {} : { alert }),
  });
  try {
    if (request !== "") records.send(APPLICATION, Buffer.from(request));
    records.send(ALERT, Buffer.of(WARNING, CLOSE_NOTIFY));
    wire.end();
    while (bytes <= ENOUGH) {
      if (!await wire.hasMore()) return result("FIN");
      const { type, content } = await records.next();
      if (type === APPLICATION) bytes += content.length;
      if (type === HANDSHAKE) keepTickets(session, content);
    }
    return result("endless");
  } catch (error) {
    if (!(error instanceof CheckFault)) throw error;
    const { kind, alert } = error;
    if (kind === "timeout") return result("open");
    if (kind === "alert") return result("alert", alert);
    if (kind === "closed") return result(error.alert === undefined ? "FIN" : "close_notify");
    return result("reset");
  } finally {
    wire.destroy();
  }
}

function keepTickets(session: Session, content: Buffer): void {
  if (session.version !== TLS_1_3) return;
  for (
    let message = session.records.taken(content);
    message;
    message = session.records.taken()
  ) {
    const { type, body } = message;
    if (type !== NEW_SESSION_TICKET || session.tickets.length >= MAX_TICKETS) continue;
    const ticket = parsing("NewSessionTicket", () => readTicket(body));
    // RFC 8446 section 4.6.1: a lifetime of zero means not to use it.
    if (ticket.lifetime > 0 && ticket.identity.length > 0) session.tickets.push(ticket);
  }
}
