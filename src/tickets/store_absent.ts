/**
 * `#ticket_store` of builds without `capabilities.ticketKeys`: they refuse the option that leads
 * here, and so have no use for the client of the store.
 */
import type * as Present from "./store_process.ts";

export const runStore: typeof Present.runStore = () => {
  throw new Error("this build knows no ticket store");
};
