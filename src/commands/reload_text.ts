/** What the commands say of reloads. */
import type { ReloadInProgress, ReloadStatus, Status } from "../status/status.ts";
import { durationText, secondsBetween } from "./format.ts";
import { plain } from "./plain.ts";

/** Returns `waiting for 12 s (received SIGHUP): another reload is running`. */
export function progressText(reload: ReloadInProgress, now: string): string {
  const { state, cause, since, reason } = reload;
  return `${plain(state)} for ${durationText(secondsBetween(since, now))} (${plain(cause)})` +
    (reason ? `: ${plain(reason)}` : "");
}

/** Returns `succeeded 5 min ago (received SIGHUP, 0.4 s)`. */
export function lastReloadText({ last }: Status["reloads"], now: string): string {
  if (!last) return "none";
  return `${plain(last.result)} ${durationText(secondsBetween(last.finishedAt, now))} ago ` +
    `(${plain(last.cause)}, ${durationText(last.seconds)})`;
}

/** Returns what `stud reload` prints, a line for each problem. */
export function reloadResult({ result, seconds, problems }: ReloadStatus): string[] {
  const took = durationText(seconds);
  const heads: Readonly<Record<string, string>> = {
    succeeded: `reload succeeded in ${took}`,
    failed: `reload failed after ${took}; the former configuration stays in use`,
    waiting: "reload has not begun yet; stud status shows its result later",
  };
  return [
    heads[result] ?? `reload: ${plain(result)}`,
    ...problems.map((problem) => `  ${plain(problem)}`),
  ];
}
