import type { ServiceState } from "./state.ts";

/**
 * Returns one line about the service for the service manager: what it does, and why the last reload
 * failed or waits.
 */
export function summaryOf({ master, reloads }: Pick<ServiceState, "master" | "reloads">): string {
  const { summary } = master!;
  const { last, inProgress = [] } = reloads.status;
  const waiting = inProgress.find(({ waitsForRoom }) => waitsForRoom);
  if (waiting) return `${waiting.reason}; ${summary}`;
  if (last?.result !== "failed") return summary;
  const [first = "", ...others] = last.problems;
  const more = others.length > 0 ? ` (and ${others.length} more)` : "";
  return `the last reload failed: ${first}${more}; ${summary}`;
}
