/** What Deno cannot do, as an allowance for the scenarios that it affects. */
import type { Target } from "../../support/target.ts";
import type { Allowance } from "../scenario.ts";

/**
 * Deno cannot adopt a listening socket, so its workers open their own, and connections in the queue
 * of a worker that exits are lost. No accepted connection is.
 */
export function lostQueues(target: Target): Allowance[] {
  if (target.adoptSockets) return [];
  return [{
    reason: "Deno: it waited in the queue of a worker that exited; the client has to reconnect",
    covers: ({ phase }) => phase !== "exchange",
  }];
}
