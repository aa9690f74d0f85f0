import type { Hash } from "./cryptography.ts";
import type { Records } from "./records.ts";

/** A completed handshake: its connection, and what can be resumed. */
export type Session = Session12 | Session13;

export interface Session12 {
  readonly version: 0x0303;
  readonly records: Records;
  /** Empty if the server gave none. */
  readonly sessionId: Uint8Array;
  readonly ticket?: Uint8Array;
}

export interface Session13 {
  readonly version: 0x0304;
  readonly records: Records;
  readonly hash: Hash;
  /** Of the handshake, from which those of the tickets derive. */
  readonly resumptionSecret: Uint8Array;
  /** As the server sends them; none at first. */
  readonly tickets: Ticket[];
}

/** A NewSessionTicket (RFC 8446 section 4.6.1). */
export interface Ticket {
  readonly identity: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ageAdd: number;
  /** In seconds. */
  readonly lifetime: number;
  /** When it arrived, in milliseconds of the monotonic clock. */
  readonly received: number;
}
