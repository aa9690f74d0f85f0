import { type Clock, systemClock } from "../../base/clock.ts";
import { moreTimesText } from "../../base/count_text.ts";
import type { LogEntry } from "../../base/log_entry.ts";
import { exitText } from "../../control/exit_text.ts";
import type { ExitDetails } from "./slot.ts";

/** Crashes of a worker that are logged one by one; more are a loop. */
const LOGGED_SINGLY = 5;
/** Interval of messages about a loop; it ends after one without a crash. In milliseconds. */
const PERIOD_MS = 60_000;

/** Reports the crashes of one slot: each of the first few, then once a minute. */
export class CrashReports {
  private readonly slot: number;
  private readonly clock: Clock;
  /** Crashes since the loop began, and those of them that were not logged. */
  private count = 0;
  private unlogged = 0;
  private startedAt = 0;
  private last: ExitDetails | undefined;

  constructor(slot: number, clock: Clock = systemClock) {
    this.slot = slot;
    this.clock = clock;
  }

  /** The crashes are a loop, so the starts between them are not logged. */
  get isLoop(): boolean {
    return this.count > LOGGED_SINGLY;
  }

  /** The number of crashes in a row, and how the last worker exited; undefined: none lately. */
  get recent(): { readonly count: number; readonly exit: string } | undefined {
    const { count, last } = this;
    return count === 0 || !last ? undefined : { count, exit: describeExit(last) };
  }

  /** Returns what to log about this crash, if anything. */
  crashed(exit: ExitDetails): LogEntry | undefined {
    if (this.count === 0) this.startedAt = this.clock.now();
    this.count++;
    this.last = exit;
    if (this.count > LOGGED_SINGLY + 1) {
      this.unlogged++;
      return undefined;
    }
    const { delay } = exit;
    const next = delay === undefined
      ? "it is not replaced"
      : `its successor starts ${delay === 0 ? "at once" : `in ${delay} ms`}`;
    const more = this.isLoop ? "; it keeps crashing, which is now logged once a minute" : "";
    const message = `pid ${exit.pid} exited (${describeExit(exit)}); ${next}${more}`;
    return this.entry(message, exit, {});
  }

  /** Called every second: returns what to log, if anything. */
  due(): LogEntry | undefined {
    if (this.count === 0 || this.clock.now() - this.startedAt < PERIOD_MS) return undefined;
    const { unlogged, last } = this;
    this.startedAt = this.clock.now();
    this.unlogged = 0;
    if (unlogged === 0 || !last) {
      this.count = 0;
      return undefined;
    }
    const message = `exited ${moreTimesText(unlogged)} in the last minute (most recently: ` +
      `${describeExit(last)}); the delay before each start grows`;
    return this.entry(message, last, { count: unlogged });
  }

  private entry(
    message: string,
    { pid, code, signal, isHung }: ExitDetails,
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

/** Returns for example `status 1` or `signal SIGKILL`. */
export function describeExit(exit: ExitDetails): string {
  if (exit.isHung) return "killed by the watchdog because it did not answer";
  return exitText(exit);
}
