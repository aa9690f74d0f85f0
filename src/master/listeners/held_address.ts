import type { Endpoint } from "../../os/endpoint.ts";

/** A listening address and its sockets. */
export interface HeldAddress {
  readonly endpoint: Endpoint;
  /** The descriptor for slot 1, 2 …, possibly one for all; empty where workers bind their own. */
  readonly fds: readonly number[];
  /** Whether the service manager opened it. */
  readonly isActivated: boolean;
}
