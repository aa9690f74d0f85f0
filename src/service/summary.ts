import type { ServiceState } from "./state.ts";

/**
 * Returns one line about the service for the service manager: what it does, and why the last reload
 * failed or waits.
 */
export function summaryOf({ master, reloads }: Pick<ServiceState, "master" | "reloads">): string {
  const { summary } = master!;
  const { last } = reloads.status;
  if (!last || last.result === "succeeded") return summary;
  const [first = "", ...others] = last.problems;
  if (last.result === "waiting") return `${first}; ${summary}`;
  const more = others.length > 0 ? ` (and ${others.length} more)` : "";
  return `the last reload failed: ${first}${more}; ${summary}`;
}
