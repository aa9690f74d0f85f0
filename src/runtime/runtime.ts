/**
 * The contract between the core and a runtime. Each of `bun.ts`, `deno.ts` and `node.ts` exports
 * the members of {@link Runtime} under the same names. An adapter moves bytes and reports facts;
 * every decision (which certificate, when to give up, whom to blame) is the core's.
 *
 * A fault of the core never ends the process, and costs one connection at most. An error that the core
 * throws reaches the process's `uncaughtException` once (see `raise`), and everything else continues:
 *
 * - from an event of a {@link StreamHandler}, or while the core answers a handshake (`select`,
 *   `identity`, `staple`, a {@link SessionStore}): the stream is reset, its descriptor is released, and
 *   `closed` follows with the code `ERR_INTERNAL`. Deno caches what `select` and `identity` threw for a
 *   name: the error is reported once, and all handshakes for that name end with an alert;
 * - from `accepted`: the stream is reset and has no events;
 * - from `closed` or `ListenOptions.failed`: nothing is left to reset;
 * - from a {@link TicketKeyring}: the ticket is neither read nor issued.
 */
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Libc } from "../os/libc.ts";
import type { Capabilities } from "./capabilities.ts";
import type { DatagramEvents, Datagrams } from "./datagrams.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import type { ClientTlsContext, ClientTlsSettings, TlsContext, TlsSettings } from "./tls.ts";

export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly capabilities: Capabilities;
  /** `{ runtime: "Bun 1.4.5", tls: "BoringSSL …" }`, for `--version`. */
  versions(): { readonly runtime: string; readonly tls: string };
  /**
   * The command that starts this same program again, on the Bun and the Node build also when its file
   * was replaced by another version; arguments are appended to it. For children of this process only.
   */
  readonly self: readonly string[];
  /** What a worker must find in its environment, beside what it may know of the master's. */
  readonly workerEnvironment: Readonly<Record<string, string>>;
  readonly libc: Libc;
  /** Builds the TLS state of a frontend. Throws an Error with the library's reason. */
  createTlsContext(settings: TlsSettings): TlsContext;
  /** Builds the TLS state for client mode. Throws an Error with the library's reason. */
  createClientTls(settings: ClientTlsSettings): ClientTlsContext;
  /** Starts accepting. Throws an Error with an errno `code` when the address cannot be had. */
  listen(options: ListenOptions): Listener;
  /**
   * Gives back what nobody uses any more, after a reload or when most connections have ended: the
   * runtime and its allocator by themselves would keep it for what may come. `withCode` lets go of compiled code as well, which is made again
   * when it is needed often: not for a process that serves connections.
   */
  collectGarbage(withCode: boolean): void;
  /**
   * Takes over an inherited UDP socket of this family, which is bound; only with
   * `capabilities.sessionCache`. Throws.
   */
  openDatagrams(fd: number, family: 4 | 6, events: DatagramEvents): Datagrams;
  /** Makes an OpenSSL engine known in this process; only with `capabilities.engines`. Throws. */
  loadEngine(id: string): void;
  /**
   * Begins a connection and returns at once; `handler.opened` or `owner.closed` follows. `reset`
   * while it is pending gives it up, with its descriptor. `source` is a local address of the same
   * family, with port 0; only where there is `capabilities.backendSource`. With `tls` a handshake
   * follows the connect, and `opened` follows both.
   */
  connect(
    backend: Endpoint,
    handler: StreamHandler,
    source?: IpEndpoint,
    tls?: ClientTlsContext,
  ): Stream;
}
