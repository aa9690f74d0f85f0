import { type Clock, systemClock } from "../../base/clock.ts";
import type { LogEntry } from "../../base/log_entry.ts";
import { exitText } from "../../control/exit_text.ts";
import type { Ending } from "./slot.ts";

/** So many crashes of a worker are told one by one; then they are a loop. */
const TOLD_SINGLY = 5;
/** How often a loop is told; after as long a time without a crash it is over. In milliseconds. */
const PERIOD_MS = 60_000;

/** Tells the crashes in one slot: each of the first few, and once a minute where they go on. */
export class CrashReports {
  private readonly slot: number;
  private readonly clock: Clock;
  /** Crashes since the period began, and those of them that were not told. */
  private count = 0;
  private untold = 0;
  private startedAt = 0;
  private last: Ending | undefined;

  constructor(slot: number, clock: Clock = systemClock) {
    this.slot = slot;
    this.clock = clock;
  }

  /** The crashes are a loop, in which the starts between them are not worth a line each. */
  get isLoop(): boolean {
    return this.count > TOLD_SINGLY;
  }

  /** What to log of this crash, if anything. */
  crashed(ending: Ending): LogEntry | undefined {
    if (this.count === 0) this.startedAt = this.clock.now();
    this.count++;
    this.last = ending;
    if (this.count > TOLD_SINGLY + 1) {
      this.untold++;
      return undefined;
    }
    const { delay } = ending;
    const next = delay === undefined
      ? "none follows"
      : `its successor starts ${delay === 0 ? "at once" : `in ${delay} ms`}`;
    const more = this.isLoop ? "; it ends again and again, more is told once a minute" : "";
    const message = `pid ${ending.pid} ended (${describe(ending)}); ${next}${more}`;
    return this.entry(message, ending, {});
  }

  /** Called every second: what to log by now, if anything. */
  due(): LogEntry | undefined {
    if (this.count === 0 || this.clock.now() - this.startedAt < PERIOD_MS) return undefined;
    const { untold, last } = this;
    this.startedAt = this.clock.now();
    this.untold = 0;
    if (untold === 0 || !last) {
      this.count = 0;
      return undefined;
    }
    const message = `ended ${untold} more times in the last minute, at last ${describe(last)}; ` +
      "it is started ever more slowly";
    return this.entry(message, last, { count: untold });
  }

  private entry(
    message: string,
    { pid, code, signal, isHung }: Ending,
    more: LogEntry["facts"],
  ): LogEntry {
    const facts = {
      worker: this.slot,
      pid,
      ...(code === null ? {} : { code }),
      ...(signal === null ? {} : { signal }),
      ...(isHung ? { hung: true } : {}),
      ...more,
    };
    return { level: "error", event: "worker-exited", message, facts };
  }
}

/** `status 1`, or `signal SIGKILL, since it did not answer any more`. */
export function describe(ending: Ending): string {
  if (ending.isHung) return "ended by the watchdog, since it did not answer any more";
  return exitText(ending);
}
