import type { LogEntry } from "../base/log_entry.ts";
import { oneLine } from "../base/one_line.ts";
import { type FailureStatus, MAX_RECENT_FAILURES } from "../status/status.ts";

/** How long a limit that a worker has reached stays a problem, in milliseconds. */
const LIMIT_SHOWN_MS = 60_000;
/** Workers whose last limit is kept. */
const MAX_LIMITS = 20;
/** Of text from workers, in UTF-16 units. */
const MAX_TEXT = 1000;

interface ReachedLimit {
  /** In milliseconds since 1970. */
  readonly at: number;
  readonly worker: number;
  readonly text: string;
}

/** What the status document shows of the log entries that workers send. No worker is trusted. */
export class RecentEvents {
  private latest: readonly FailureStatus[] = [];
  /** The last limit that each worker has reached. */
  private reached: readonly ReachedLimit[] = [];

  /** Keeps what is shown of an entry that arrived at `now`, in milliseconds since 1970. */
  add(entry: LogEntry, now: number): void {
    const { event, facts, message } = entry;
    const worker = Number.isSafeInteger(facts.worker) ? facts.worker as number : 0;
    if (event === "connection-failed") {
      this.latest = [failure(entry, worker, now), ...this.latest].slice(0, MAX_RECENT_FAILURES);
    } else if (event === "connection-limit") {
      const others = this.reached.filter((each) => each.worker !== worker);
      const text = shortLine(`worker ${worker}: ${message}`);
      this.reached = [{ at: now, worker, text }, ...others].slice(0, MAX_LIMITS);
    }
  }

  /** The last failed connections, the newest first. */
  get failures(): readonly FailureStatus[] {
    return this.latest;
  }

  /** The limits that workers have reached in the last minute, a line for each. */
  limits(now: number): string[] {
    return this.reached.filter(({ at }) => now - at < LIMIT_SHOWN_MS).map(({ text }) => text);
  }
}

function failure({ facts }: LogEntry, worker: number, now: number): FailureStatus {
  const { client = "", source = "", code = "", cause = "" } = facts;
  return {
    time: new Date(now).toISOString(),
    worker,
    client: shortLine(client),
    source: shortLine(source),
    code: shortLine(code),
    cause: shortLine(cause),
  };
}

/** Returns one line of bounded length. */
function shortLine(text: unknown): string {
  return oneLine(String(text).slice(0, MAX_TEXT));
}
