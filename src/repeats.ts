import { type Clock, systemClock } from "./base/clock.ts";
import { countText } from "./base/count_text.ts";
import type { Log, LogEntry } from "./log.ts";
import type { LogConfig } from "./options/config.ts";

/** Windows of 10 s, in which ten equal events are told one by one. */
const USUAL: RepeatLimits = { windowMs: 10_000, told: 10 };
/** So many kinds of events are counted apart; of more, the causes are no longer told apart. */
const MAX_KINDS = 100;

export interface RepeatLimits {
  readonly windowMs: number;
  /** So many equal events of a window are told one by one. */
  readonly told: number;
}

/** Equal events of a window. */
interface Kind {
  /** They differ in what caused them. */
  readonly isMixed: boolean;
  told: number;
  /** Those that were not told. */
  counted: number;
  last: LogEntry;
}

/**
 * Keeps a flood of equal events out of a log. Events are equal when event, source, code and cause
 * (without one: the message) are. In each window the first ones are told one by one, as a rule ten
 * in 10 s, the others are counted and summed up in one line at its end: the lines and the counts
 * together are all events.
 */
export class Repeats {
  private readonly log: Log;
  private readonly level: () => LogConfig["level"];
  private readonly clock: Clock;
  private readonly limits: RepeatLimits;
  private readonly kinds = new Map<string, Kind>();
  private beganAt = 0;
  private isWaiting = false;

  /** `level` is that of `--log-level`: at 2 nothing is counted. */
  constructor(
    log: Log,
    level: () => LogConfig["level"],
    clock: Clock = systemClock,
    limits: RepeatLimits = USUAL,
  ) {
    this.log = log;
    this.level = level;
    this.limits = limits;
    this.clock = clock;
  }

  /** Tells the event, or counts it. */
  tell(entry: LogEntry): void {
    if (this.level() === 2) return this.log(entry);
    const now = this.clock.now();
    // Nothing waits to be summed up, so the window is over whenever somebody looks.
    if (!this.isWaiting && now - this.beganAt >= this.limits.windowMs) this.kinds.clear();
    if (this.kinds.size === 0) this.beganAt = now;
    const kind = this.kindOf(entry);
    if (kind.told < this.limits.told) {
      kind.told++;
      return this.log(entry);
    }
    kind.counted++;
    kind.last = entry;
    if (this.isWaiting) return;
    this.isWaiting = true;
    this.clock.after(this.beganAt + this.limits.windowMs - now, () => {
      this.isWaiting = false;
      this.flush();
    });
  }

  /** Sums up what was counted until now. */
  flush(): void {
    const milliseconds = this.clock.now() - this.beganAt;
    const seconds = Math.max(1, Math.round(milliseconds / 1000));
    const kinds = [...this.kinds.values()].filter(({ counted }) => counted > 0);
    this.kinds.clear();
    for (const kind of kinds) this.log(summary(kind, seconds));
  }

  private kindOf(entry: LogEntry): Kind {
    const { event, message, facts: { source, code, cause } } = entry;
    const exact = [event, source, code, cause ?? message].join("\n");
    const isMixed = !this.kinds.has(exact) && this.kinds.size >= MAX_KINDS;
    // A cause may hold what a client chose; events and codes are few.
    const key = isMixed ? [event, code].join("\n") : exact;
    const known = this.kinds.get(key);
    if (known) return known;
    const kind = { isMixed, told: 0, counted: 0, last: entry };
    this.kinds.set(key, kind);
    return kind;
  }
}

function summary({ isMixed, counted, last }: Kind, seconds: number): LogEntry {
  const { event, level, message, facts: { source, code, cause } } = last;
  const times = `${countText(counted)} more times in the last ${seconds} s`;
  return {
    level,
    event: "events-repeated",
    message: `${times}${isMixed ? ", for various causes" : ""}; the last one: ${message}`,
    facts: {
      repeated: event,
      ...(source === undefined || isMixed ? {} : { source }),
      ...(code === undefined ? {} : { code }),
      ...(cause === undefined || isMixed ? {} : { cause }),
      ...{ count: counted, seconds },
    },
  };
}
