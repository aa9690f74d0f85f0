import type { Clock } from "../../base/clock.ts";
import type { BackendFailed } from "../../worker_protocol/messages.ts";
import { countText } from "../../base/count_text.ts";
import type { Log } from "../../base/log_entry.ts";

/** When reasons alternate, each is told so often. */
const TOLD_AGAIN_AFTER_MS = 60_000;
/** So many reasons of one outage are told. */
const MAX_REASONS = 20;

/**
 * Whether the backend can be connected: what all workers report of it becomes one story. Reports
 * come a second late, or later where the machine is busy, so what they tell is put in the order in
 * which it happened.
 */
export class BackendState {
  /** Where connections go, for the log. */
  backend = "";
  private readonly log: Log;
  private readonly expectAnswer: () => void;
  private readonly clock: Clock;
  private downSince: number | undefined;
  private failedAt = -Infinity;
  private answeredAt = -Infinity;
  private failures = 0;
  /** When each reason of this outage was last told. */
  private readonly reasons = new Map<string, number>();
  private lastReason = "";

  /**
   * `expectAnswer` asks all workers to report the next connect that goes well: one that has seen no
   * failure knows no recovery either. `clock` is the workers' own.
   */
  constructor(log: Log, expectAnswer: () => void, clock: Clock) {
    this.log = log;
    this.expectAnswer = expectAnswer;
    this.clock = clock;
  }

  get isDown(): boolean {
    return this.downSince !== undefined;
  }

  /** Connects failed, of which the last one tells why. Told when it is new. */
  failed({ failures, at, source, code, cause }: BackendFailed): void {
    const failedAt = this.past(at);
    const hasBegun = this.downSince === undefined;
    if (hasBegun && failedAt < this.answeredAt) return;
    if (hasBegun) this.begin(failedAt);
    this.failedAt = Math.max(this.failedAt, failedAt);
    this.failures += failures;
    const { backend } = this;
    if (this.isNews(JSON.stringify([backend, code, cause]))) {
      this.log({
        level: source === "internal" ? "error" : "warn",
        event: "backend-down",
        message: `the backend ${backend} cannot be connected: ${code}: ${cause}; ` +
          "clients are closed until it answers, and only changes are told",
        facts: { backend, source, code, cause },
      });
    }
    if (hasBegun) this.expectAnswer();
  }

  /** A connect went well at this time. */
  answers(at: number): void {
    if (this.downSince === undefined) return;
    this.answeredAt = this.past(at);
    if (this.answeredAt < this.failedAt) return this.expectAnswer();
    const seconds = Math.round((this.answeredAt - this.downSince) / 1000);
    const { backend, failures } = this;
    this.downSince = undefined;
    this.log({
      level: "info",
      event: "backend-recovered",
      message: `the backend ${backend} answers again after ${seconds} s; connections that ` +
        `failed meanwhile: ${countText(failures)}`,
      facts: { backend, seconds, count: failures },
    });
  }

  /** No worker can tell of what is yet to come. */
  private past(at: number): number {
    return Math.min(at, this.clock.now());
  }

  private begin(at: number): void {
    this.downSince = at;
    this.failedAt = -Infinity;
    this.failures = 0;
    this.reasons.clear();
    this.lastReason = "";
  }

  private isNews(reason: string): boolean {
    if (reason === this.lastReason) return false;
    const now = this.clock.now();
    const toldAt = this.reasons.get(reason);
    if (toldAt === undefined && this.reasons.size >= MAX_REASONS) return false;
    if (toldAt !== undefined && now - toldAt < TOLD_AGAIN_AFTER_MS) return false;
    this.reasons.set(reason, now);
    this.lastReason = reason;
    return true;
  }
}
