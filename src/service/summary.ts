import type { ServiceState } from "./state.ts";

/**
 * Returns one line about the service for the service manager: what it does, and why the last reload
 * failed or waits.
 */
export function summaryOf({ master, reloads }: Pick<ServiceState, "master" | "reloads">): string {
  const { summary } = master!;
  const { last, inProgress = [] } = reloads.status;
  const waiting = inProgress.find(({ waitsForRoom }) => waitsForRoom)?.reason;
  const [first = "", ...others] = last?.problems ?? [];
  const more = others.length > 0 ? ` (and ${others.length} more)` : "";
  const failure = last?.result === "failed" ? `the last reload failed: ${first}${more}` : undefined;
  return [failure, waiting, summary].filter((part) => part !== undefined).join("; ");
}
