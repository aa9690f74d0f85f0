import type { Endpoint } from "../../os/endpoint.ts";

/** A listening address and its sockets. */
export interface HeldAddress {
  readonly endpoint: Endpoint;
  /**
   * The descriptor of slot 1, 2 …, which slots may share; none if workers bind their own sockets.
   */
  readonly fds: readonly number[];
  /** The service manager opened it. */
  readonly isActivated: boolean;
}
