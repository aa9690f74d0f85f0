import type { BackendStatus } from "../../status/status.ts";
import type { Clock } from "../../base/clock.ts";
import type { BackendFailed } from "../../worker_protocol/messages.ts";
import { countText } from "../../base/count_text.ts";
import type { Log } from "../../base/log_entry.ts";

/** Interval at which each of several alternating reasons is logged. */
const REPEAT_AFTER_MS = 60_000;
/** Maximum number of reasons that are logged for one outage. */
const MAX_REASONS = 20;

/**
 * Whether the backend can be connected, from the reports of all workers. Reports come a second
 * late, or later on a busy machine, so they are ordered by the times of their events.
 */
export class BackendState {
  /** The backend's address, for the log. */
  backend = "";
  private readonly log: Log;
  private readonly expectAnswer: () => void;
  private readonly clock: Clock;
  private downSince: number | undefined;
  private failedAt = -Infinity;
  private answeredAt = -Infinity;
  private failures = 0;
  /** When each reason of this outage was last logged. */
  private readonly reasons = new Map<string, number>();
  private lastReason = "";
  private lastCause = "";

  /**
   * `expectAnswer` asks all workers to report the next connect that succeeds: one that has seen no
   * failure would not report it. `clock` is the clock of the workers.
   */
  constructor(log: Log, expectAnswer: () => void, clock: Clock) {
    this.log = log;
    this.expectAnswer = expectAnswer;
    this.clock = clock;
  }

  get isDown(): boolean {
    return this.downSince !== undefined;
  }

  /** What the status document says about it at `now`, in milliseconds since 1970. */
  status(now: number): BackendStatus {
    const { backend: address, downSince, lastCause } = this;
    const service = "default";
    if (downSince === undefined) return { service, address, state: "unknown" };
    const since = new Date(now - (this.clock.now() - downSince)).toISOString();
    return { service, address, state: "down", since, cause: lastCause };
  }

  /** Connects failed; a new reason is logged. */
  failed({ failures, at, source, code, cause }: BackendFailed): void {
    const failedAt = this.past(at);
    const hasBegun = this.downSince === undefined;
    if (hasBegun && failedAt < this.answeredAt) return;
    if (hasBegun) this.begin(failedAt);
    this.failedAt = Math.max(this.failedAt, failedAt);
    this.failures += failures;
    this.lastCause = `${code}: ${cause}`;
    const { backend } = this;
    if (this.isNews(JSON.stringify([backend, code, cause]))) {
      this.log({
        level: source === "internal" ? "error" : "warn",
        event: "backend-down",
        message: `cannot connect to the backend ${backend}: ${code}: ${cause}; ` +
          "clients are disconnected until a connection succeeds; only changes are logged",
        facts: { backend, source, code, cause },
      });
    }
    if (hasBegun) this.expectAnswer();
  }

  /** A connect succeeded at this time of the shared clock, in milliseconds. */
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

  /** A worker's time that is in the future counts as now. */
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
    const loggedAt = this.reasons.get(reason);
    if (loggedAt === undefined && this.reasons.size >= MAX_REASONS) return false;
    if (loggedAt !== undefined && now - loggedAt < REPEAT_AFTER_MS) return false;
    this.reasons.set(reason, now);
    this.lastReason = reason;
    return true;
  }
}
