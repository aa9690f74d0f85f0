import { randomBytes } from "node:crypto";

/** The secrets that ticket keys are derived from, each 32 bytes in base64. */
export interface TicketRing {
  /** All by which tickets are read, each once. */
  readonly secrets: readonly string[];
  /** The place of the one by which they are made. */
  readonly current: number;
}

/** Bytes of a secret. */
export const SECRET_LENGTH = 32;

/** A secret of a ring, or of a fleet. */
export function randomSecret(): string {
  return randomBytes(SECRET_LENGTH).toString("base64");
}

/** The ring that also reads the tickets made by others. */
export function alsoReading(ring: TicketRing, others: Iterable<string>): TicketRing {
  return { ...ring, secrets: [...new Set([...ring.secrets, ...others])] };
}
