/**
 * `#ticket_store` of builds without `capabilities.ticketKeys`. They refuse the option that leads here,
 * so they do not need the client of the store.
 */
import type * as Present from "./store_process.ts";

export const runStore: typeof Present.runStore = () => {
  throw new Error("this build has no ticket store");
};
