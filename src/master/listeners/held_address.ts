import type { Endpoint } from "../../os/endpoint.ts";

/** An address that is listened on. */
export interface HeldAddress {
  readonly endpoint: Endpoint;
  /** For slot 1, 2 …, which may be the same for all; none where workers bind by themselves. */
  readonly fds: readonly number[];
  /** The service manager opened it. */
  readonly isActivated: boolean;
}
