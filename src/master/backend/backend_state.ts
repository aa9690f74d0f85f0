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
  private address = "";
  private readonly log: Log;
  private readonly expectAnswer: () => void;
  private readonly clock: Clock;
  private downSince: number | undefined;
  /** When it was first found to answer. Neither: it has not been connected yet. */
  private upSince: number | undefined;
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

  /** The backend's address, for the log. */
  get backend(): string {
    return this.address;
  }

  /** An outage that was reported for another address lasts until this one answers. */
  set backend(address: string) {
    if (address !== this.address) this.upSince = undefined;
    this.address = address;
  }

  /** Whether a worker that begins to accept is to report its first connect that succeeds. */
  get expectsAnswer(): boolean {
    return this.upSince === undefined;
  }

  /** What the status document says about it at `now`, in milliseconds since 1970. */
  status(now: number): BackendStatus {
    const { address, downSince, upSince, lastCause } = this;
    const service = "default";
    const dated = (at: number) => new Date(now - (this.clock.now() - at)).toISOString();
    if (downSince !== undefined) {
      return { service, address, state: "down", since: dated(downSince), cause: lastCause };
    }
    if (upSince === undefined) return { service, address, state: "unknown" };
    return { service, address, state: "up", since: dated(upSince) };
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
    if (this.downSince === undefined) {
      this.upSince ??= this.past(at);
      this.answeredAt = Math.max(this.answeredAt, this.past(at));
      return;
    }
    this.answeredAt = this.past(at);
    if (this.answeredAt < this.failedAt) return this.expectAnswer();
    const seconds = Math.round((this.answeredAt - this.downSince) / 1000);
    const { backend, failures } = this;
    this.downSince = undefined;
    this.upSince = this.answeredAt;
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
    this.upSince = undefined;
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
