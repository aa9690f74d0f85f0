/**
 * The contract between the core and a runtime. Each of `bun.ts`, `deno.ts` and `node.ts` exports
 * the members of {@link Runtime} under the same names. An adapter moves bytes and reports facts;
 * every decision (which certificate, when to give up, whom to blame) is the core's.
 *
 * A fault of the core never ends the process and costs at most one connection. An error that the core
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
import type {
  ClientTlsContext,
  ClientTlsSettings,
  PassedOver,
  TlsContext,
  TlsParameters,
  TlsSettings,
} from "./tls.ts";

export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly capabilities: Capabilities;
  /** `{ runtime: "Bun 1.4.5", tls: "BoringSSL …" }`, for `--version`. */
  versions(): { readonly runtime: string; readonly tls: string };
  /**
   * The command that starts this program again, to which arguments are appended; the Bun and the Node
   * build start the same version even if the file was replaced. For children of this process only.
   */
  readonly self: readonly string[];
  /** Variables for a worker's environment, beside those that it inherits from the master. */
  readonly workerEnvironment: Readonly<Record<string, string>>;
  readonly libc: Libc;
  /**
   * Makes `self` independent of the program's file, which may be replaced while children are to be
   * started. Throws an Error if that fails.
   */
  keepProgram(): void;
  /**
   * Starts the threads that the runtime otherwise starts when they are first needed, and then keeps.
   * A thread that cannot be started ends the process, so a limit of tasks must show at the start.
   * `pool` is the maximum number of threads for background work that this process uses.
   */
  startThreads(pool: number): void;
  /** Builds the TLS context of a frontend. Throws an Error with the library's reason. */
  createTlsContext(settings: TlsSettings): TlsContext;
  /** Builds the TLS context for client mode. Throws an Error with the library's reason. */
  createClientTls(settings: ClientTlsSettings): ClientTlsContext;
  /**
   * Returns which names in the lists of `parameters` the TLS library does not use, and why, for a
   * warning. Throws an Error if a list cannot be used.
   */
  passedOver(parameters: TlsParameters): PassedOver;
  /** Starts accepting. Throws an Error with an errno `code` if it cannot listen. */
  listen(options: ListenOptions): Listener;
  /**
   * Returns unused memory to the system, after a reload or when most connections have closed; the
   * runtime and its allocator would keep it. `withCode` also frees compiled code, which is compiled
   * again when it gets hot: not for a process that serves connections.
   */
  collectGarbage(withCode: boolean): void;
  /**
   * Adopts an inherited, bound UDP socket of this family; only with `capabilities.sessionCache`.
   * Throws an Error if it cannot.
   */
  openDatagrams(fd: number, family: 4 | 6, events: DatagramEvents): Datagrams;
  /** Loads an OpenSSL engine; only with `capabilities.engines`. Throws an Error if it cannot. */
  loadEngine(id: string): void;
  /**
   * Starts to connect and returns at once; `handler.opened` or `handler.closed` follows. `reset`
   * abandons a pending connect and releases its descriptor. `source` is a local address of the same
   * family, with port 0; only with `capabilities.backendSource`. With `tls` a handshake follows the
   * connect, and `opened` follows both.
   */
  connect(
    backend: Endpoint,
    handler: StreamHandler,
    source?: IpEndpoint,
    tls?: ClientTlsContext,
  ): Stream;
}
