import type { Log, LogEntry } from "../base/log_entry.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { moreTimesText } from "../base/count_text.ts";
import type { LogConfig } from "../options/config.ts";

const DEFAULT_LIMIT: RateLimit = { intervalMs: 10_000, burst: 10 };
/** Maximum number of groups; beyond it, events that differ only in their cause share one. */
const MAX_GROUPS = 100;

/** `burst` equal events are logged one by one in each interval. */
export interface RateLimit {
  readonly intervalMs: number;
  readonly burst: number;
}

/** The equal events of an interval. */
interface Group {
  /** The events differ in their cause. */
  readonly isMixed: boolean;
  logged: number;
  suppressed: number;
  last: LogEntry;
}

/**
 * Limits how often equal events are logged, so that a flood of them cannot fill a log. Events are
 * equal if event, source, code and cause (without a cause: the message) are. In each interval the
 * first ones are logged one by one, by default ten in 10 s. The others are counted and summarized in
 * one line at its end, so lines and counts together cover all events.
 */
export class LogRateLimiter {
  private readonly output: Log;
  private readonly level: () => LogConfig["level"];
  private readonly clock: Clock;
  private readonly limit: RateLimit;
  private readonly groups = new Map<string, Group>();
  private beganAt = 0;
  private isTimerSet = false;

  /** `level` returns the current `--log-level`: at 2 there is no limit. */
  constructor(
    output: Log,
    level: () => LogConfig["level"],
    clock: Clock = systemClock,
    limit: RateLimit = DEFAULT_LIMIT,
  ) {
    this.output = output;
    this.level = level;
    this.limit = limit;
    this.clock = clock;
  }

  /** Logs the event, or counts it. */
  log(entry: LogEntry): void {
    if (this.level() === 2) return this.output(entry);
    const now = this.clock.now();
    // There is no timer for an interval in which nothing was suppressed.
    if (!this.isTimerSet && now - this.beganAt >= this.limit.intervalMs) this.groups.clear();
    if (this.groups.size === 0) this.beganAt = now;
    const group = this.groupOf(entry);
    if (group.logged < this.limit.burst) {
      group.logged++;
      return this.output(entry);
    }
    group.suppressed++;
    group.last = entry;
    if (this.isTimerSet) return;
    this.isTimerSet = true;
    this.clock.after(this.beganAt + this.limit.intervalMs - now, () => {
      this.isTimerSet = false;
      this.flush();
    });
  }

  /** Logs the summaries of what was counted so far, and begins the next interval. */
  flush(): void {
    const milliseconds = this.clock.now() - this.beganAt;
    const seconds = Math.max(1, Math.round(milliseconds / 1000));
    const groups = [...this.groups.values()].filter(({ suppressed }) => suppressed > 0);
    this.groups.clear();
    for (const group of groups) this.output(summary(group, seconds));
  }

  private groupOf(entry: LogEntry): Group {
    const { event, message, facts: { source, code, cause } } = entry;
    const exact = [event, source, code, cause ?? message].join("\n");
    const isMixed = !this.groups.has(exact) && this.groups.size >= MAX_GROUPS;
    // A cause may contain text that a client chose; events and codes are few.
    const key = isMixed ? [event, source, code].join("\n") : exact;
    const known = this.groups.get(key);
    if (known) return known;
    const group = { isMixed, logged: 0, suppressed: 0, last: entry };
    this.groups.set(key, group);
    return group;
  }
}

function summary({ isMixed, suppressed, last }: Group, seconds: number): LogEntry {
  const { event, level, message, facts: { source, code, cause } } = last;
  const times = `${moreTimesText(suppressed)} in the last ${seconds} s`;
  return {
    level,
    event: "events-repeated",
    message: `${times}${isMixed ? ", with different causes" : ""}; the last one: ${message}`,
    facts: {
      repeated: event,
      ...(source === undefined ? {} : { source }),
      ...(code === undefined ? {} : { code }),
      ...(cause === undefined || isMixed ? {} : { cause }),
      ...{ count: suppressed, seconds },
    },
  };
}
