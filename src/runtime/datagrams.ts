import type { IpEndpoint } from "../os/endpoint.ts";
import type { Failure } from "./failure.ts";

/** A UDP socket. */
export interface Datagrams {
  /** What cannot be sent soon is dropped: `failed` tells why. */
  send(bytes: Uint8Array, to: IpEndpoint): void;
}

export interface DatagramEvents {
  /** The bytes are the receiver's own. */
  received(bytes: Uint8Array): void;
  /** Once for each datagram that is not sent, and when none can be received. */
  failed(failure: Failure): void;
}
