import type { Clock } from "../base/clock.ts";

/** How an attempt to get a new staple ended. */
export type Outcome =
  /** There is a new one; `until` is its end in milliseconds since 1970, if it has one. */
  | { readonly type: "fresh"; readonly until?: number }
  /** The responder could not be asked, or its answer was of no use. */
  | { readonly type: "failed" }
  /** The responder did not answer. */
  | { readonly type: "silent" }
  /** There is nothing to be had any more for this certificate. */
  | { readonly type: "over" };

/** How long before its end a staple is replaced. */
const AHEAD_MS = 600_000;
/** The least time between two attempts for one certificate. */
const SPACING_MS = 60_000;
const RETRY_MS: Readonly<Record<"failed" | "silent", number>> = {
  failed: 300_000,
  silent: 600_000,
};
/** Thousands of certificates must not mean thousands of requests at the same time. */
const MAX_UNDER_WAY = 8;
/** The clock of the wall can be set, so the agenda is looked at again this often. */
const LOOK_MS = 60_000;

/**
 * Decides when each certificate's staple is asked for: at once where there is none, ten minutes
 * before it ends, or after the refresh interval where it has no end. It knows nothing of OCSP.
 */
export class Schedule {
  private readonly attempt: (certificate: number) => Promise<Outcome>;
  private readonly refreshMs: number;
  /** Its `now` is in milliseconds since 1970, since that is what staples' ends are told in. */
  private readonly clock: Clock;
  /** When each certificate's turn is. */
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

  /** Takes a certificate in; `staple` is what it has by now. */
  add(certificate: number, staple: { readonly until?: number } | undefined): void {
    const at = staple ? this.renewal(staple) : this.clock.now();
    this.agenda.set(certificate, at);
    this.wake(at);
  }

  /** When a staple that is new now is to be replaced, in milliseconds since 1970. */
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
