import { hkdfSync } from "node:crypto";
import { SECRET_LENGTH, type TicketRing } from "./ring.ts";

/**
 * The time slots, relative to the present one, whose tickets are accepted; see {@link FleetKeys}.
 */
export const READ: readonly number[] = [-2, -1, 0, 1];

/**
 * Keys that every machine derives from the same secret, a new one for each time slot. Tickets of
 * two slots back and one ahead are accepted: a ticket lives for at most one slot, so machines whose
 * clocks differ by up to one slot accept each other's tickets.
 */
export class FleetKeys {
  private readonly secret: Uint8Array;
  private readonly period: number;
  private readonly now: () => number;
  private slot: number;

  /** `period` in seconds; `now` returns seconds since 1970. */
  constructor(secret: Uint8Array, period: number, now: () => number) {
    this.secret = secret;
    this.period = period;
    this.now = now;
    this.slot = slotAt(now(), period);
  }

  get ring(): TicketRing {
    return {
      secrets: READ.map((offset) => slotSecret(this.secret, this.period, this.slot + offset)),
      current: READ.indexOf(0),
    };
  }

  /** Seconds since the present time slot began. */
  get age(): number {
    return this.now() - this.slot * this.period;
  }

  /** Call it about once a second. Returns true if the ring has changed. */
  check(): boolean {
    const slot = slotAt(this.now(), this.period);
    const isOther = slot !== this.slot;
    this.slot = slot;
    return isOther;
  }
}

/** Returns the number of the time slot of a second since 1970. */
export function slotAt(now: number, period: number): number {
  return Math.floor(now / period);
}

/** HKDF-SHA-256 (RFC 5869) in base64. The length of the slots is part of the derivation. */
function slotSecret(secret: Uint8Array, period: number, slot: number): string {
  const label = `stud ticket slot ${period} ${slot}`;
  return Buffer.from(hkdfSync("sha256", secret, "", label, SECRET_LENGTH)).toString("base64");
}
