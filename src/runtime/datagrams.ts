import type { IpEndpoint } from "../os/endpoint.ts";
import type { Failure } from "./failure.ts";

/** A UDP socket. */
export interface Datagrams {
  /** Drops what cannot be sent soon; `failed` reports why. */
  send(bytes: Uint8Array, to: IpEndpoint): void;
}

export interface DatagramEvents {
  /** The bytes are not reused: the handler may keep them. */
  received(bytes: Uint8Array): void;
  /** Once for each datagram that is not sent, and if receiving fails. */
  failed(failure: Failure): void;
}
