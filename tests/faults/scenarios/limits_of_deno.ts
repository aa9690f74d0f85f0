/** What Deno cannot do, as every scenario that meets it allows it. */
import type { Target } from "../../support/target.ts";
import type { Allowance } from "../scenario.ts";

/**
 * Deno cannot adopt a listening socket, so its workers open their own, and what waits in the queue
 * of one that goes is lost. None that was accepted is.
 */
export function lostQueues(target: Target): Allowance[] {
  if (target.adoptSockets) return [];
  return [{
    reason: "Deno: it waited in the queue of a worker that went, and has to come again",
    covers: ({ phase }) => phase !== "exchange",
  }];
}
