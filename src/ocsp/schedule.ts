import type { Clock } from "../base/clock.ts";

/** The outcome of an attempt to get a new staple. */
export type Outcome =
  /** Succeeded; `until` is when it expires in milliseconds since 1970, if it does. */
  | { readonly type: "fresh"; readonly until?: number }
  /** The responder could not be asked, or its answer could not be used. */
  | { readonly type: "failed" }
  /** The responder did not answer. */
  | { readonly type: "silent" }
  /** This certificate needs no staple any more. */
  | { readonly type: "over" };

/** Time from a staple's replacement to its expiry. */
const AHEAD_MS = 600_000;
/** Minimum time between two attempts for one certificate. */
const SPACING_MS = 60_000;
const RETRY_MS: Readonly<Record<"failed" | "silent", number>> = {
  failed: 300_000,
  silent: 600_000,
};
/** Maximum number of concurrent requests, even with thousands of certificates. */
const MAX_UNDER_WAY = 8;
/** Maximum time between two checks of the agenda, since the wall clock can be set. */
const LOOK_MS = 60_000;

/**
 * Decides when to request each certificate's staple: at once if there is none, ten minutes before
 * it expires, or after the refresh interval if it does not expire. It is independent of OCSP.
 */
export class Schedule {
  private readonly attempt: (certificate: number) => Promise<Outcome>;
  private readonly refreshMs: number;
  /** Its `now` returns milliseconds since 1970, the unit of staples' expiry. */
  private readonly clock: Clock;
  /** The time of the next attempt for each certificate. */
  private readonly agenda = new Map<number, number>();
  private underWay = 0;
  private wakeAt = Infinity;

  /** `refreshInterval` is in seconds. */
  constructor(
    attempt: (certificate: number) => Promise<Outcome>,
    refreshInterval: number,
    clock: Clock,
  ) {
    this.attempt = attempt;
    this.refreshMs = refreshInterval * 1000;
    this.clock = clock;
  }

  /** Adds a certificate; `staple` is its present staple. */
  add(certificate: number, staple: { readonly until?: number } | undefined): void {
    const at = staple ? this.renewal(staple) : this.clock.now();
    this.agenda.set(certificate, at);
    this.wake(at);
  }

  /** Returns when to replace a staple received now, in milliseconds since 1970. */
  renewal({ until }: { readonly until?: number }): number {
    const now = this.clock.now();
    const wanted = until === undefined ? now + this.refreshMs : until - AHEAD_MS;
    return Math.max(wanted, now + SPACING_MS);
  }

  private wake(at: number): void {
    const now = this.clock.now();
    const next = Math.min(Math.max(at, now), now + LOOK_MS);
    if (next >= this.wakeAt) return;
    this.wakeAt = next;
    this.clock.after(next - now, () => {
      if (this.wakeAt === next) this.wakeAt = Infinity;
      this.startDue();
    });
  }

  private startDue(): void {
    const now = this.clock.now();
    let next = Infinity;
    for (const [certificate, at] of this.agenda) {
      if (this.underWay >= MAX_UNDER_WAY) return;
      if (at <= now) this.start(certificate);
      else next = Math.min(next, at);
    }
    if (next < Infinity) this.wake(next);
  }

  private async start(certificate: number): Promise<void> {
    this.agenda.delete(certificate);
    this.underWay++;
    const begun = this.clock.now();
    const outcome = await this.attempt(certificate);
    this.underWay--;
    if (outcome.type !== "over") {
      const at = outcome.type === "fresh"
        ? this.renewal(outcome)
        : this.clock.now() + RETRY_MS[outcome.type];
      this.agenda.set(certificate, Math.max(at, begun + SPACING_MS));
    }
    this.startDue();
  }
}
