import { randomBytes } from "node:crypto";

/** The secrets that ticket keys are derived from, each 32 bytes in base64. */
export interface TicketRing {
  /** The secrets of all tickets that are accepted, without duplicates. */
  readonly secrets: readonly string[];
  /** The index of the secret that new tickets are made with. */
  readonly current: number;
}

/** Length of a secret, in bytes. */
export const SECRET_LENGTH = 32;

/** Returns a new secret for a ring or for a fleet. */
export function randomSecret(): string {
  return randomBytes(SECRET_LENGTH).toString("base64");
}

/** Returns a ring that also accepts the tickets of other secrets. */
export function alsoReading(ring: TicketRing, others: Iterable<string>): TicketRing {
  return { ...ring, secrets: [...new Set([...ring.secrets, ...others])] };
}
