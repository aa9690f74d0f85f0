import { hkdfSync } from "node:crypto";
import { SECRET_LENGTH, type TicketRing } from "./ring.ts";

/** The slots around the present one whose tickets are read; see {@link FleetKeys}. */
export const READ: readonly number[] = [-2, -1, 0, 1];

/**
 * Keys that every machine with the same secret finds by itself, a new one for each time slot. Two
 * slots back and one ahead are read: a ticket lives for a slot at most, so that machines whose clocks
 * are a slot apart, either way, still read each other's.
 */
export class FleetKeys {
  private readonly secret: Uint8Array;
  private readonly period: number;
  private readonly now: () => number;
  private slot: number;

  /** `period` in seconds; `now` tells seconds since 1970. */
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

  /** To be called about once a second. True when the ring has changed. */
  check(): boolean {
    const slot = slotAt(this.now(), this.period);
    const isOther = slot !== this.slot;
    this.slot = slot;
    return isOther;
  }
}

/** The number of the slot in which a second since 1970 lies. */
export function slotAt(now: number, period: number): number {
  return Math.floor(now / period);
}

/** HKDF-SHA-256 (RFC 5869), base64. Slots of another length have other secrets. */
function slotSecret(secret: Uint8Array, period: number, slot: number): string {
  const label = `stud ticket slot ${period} ${slot}`;
  return Buffer.from(hkdfSync("sha256", secret, "", label, SECRET_LENGTH)).toString("base64");
}
