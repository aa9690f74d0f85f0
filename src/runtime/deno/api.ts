/** The parts of Deno's API that the adapter uses, and libc. */
import { signatures } from "../../os/libc.ts";
import { libcName } from "../../os/libc.ts";
import type { CType } from "../../os/libc.ts";
import type { Libc } from "../../os/libc.ts";

interface DenoApi {
  readonly internal: symbol;
  readonly version: { readonly deno: string };
  readonly build: { readonly standalone: boolean };
  readonly mainModule: string;
  execPath(): string;
  connect(
    options:
      | { hostname: string; port: number; signal: AbortSignal }
      | { transport: "unix"; path: string },
  ): Promise<Conn>;
  /** Takes over the connection; `hostname` is for SNI and verification only. */
  startTls(conn: Conn, options: {
    hostname: string;
    /** PEM; trusted in addition to the runtime's own. */
    caCerts: readonly string[];
    alpnProtocols: readonly string[];
  }): Promise<TlsConn>;
  listen(options: ListenAt): DenoListener<Conn>;
  listenTls(
    options: ListenAt & { readonly alpnProtocols?: readonly string[] } & TlsIdentity,
  ): DenoListener<TlsConn>;
  dlopen(
    path: string,
    symbols: Record<string, { parameters: readonly CType[]; result: "i32" | "pointer" }>,
  ): { readonly symbols: Record<string, (...values: (number | Uint8Array)[]) => unknown> };
  readonly UnsafePointerView: new (pointer: unknown) => { getInt32(): number };
  readonly UnsafePointer: { of(bytes: Uint8Array): unknown; value(pointer: unknown): bigint };
}

interface ListenAt {
  readonly hostname: string;
  readonly port: number;
  readonly reusePort?: boolean;
  readonly tcpBacklog?: number;
}

/** PEM, one certificate with its chain. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export type TlsIdentity =
  | KeyPair
  | { readonly [sniResolver]: (serverName: string) => KeyPair };

export interface NetAddr {
  readonly hostname: string;
  readonly port: number;
}

export interface Conn {
  /** TCP only. */
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  closeWrite(): Promise<void>;
  /** Closes; has no effect if closed, or after `startTls` took over the connection. */
  [Symbol.dispose](): void;
  /** TCP only. */
  setNoDelay(on: boolean): void;
}

export interface TlsConn extends Conn {
  handshake(): Promise<{ readonly alpnProtocol: string | null }>;
}

export interface DenoListener<T extends Conn> {
  readonly addr: NetAddr;
  accept(): Promise<T>;
  close(): void;
}

/**
 * UNDOCUMENTED (tested with 2.9.6). Called once for each distinct name, in lower case, with "" for a
 * client without SNI; Deno keeps the result, also a rejection, forever.
 */
export const sniResolver: unique symbol = Symbol.for("unstableSniResolver");

export const Deno = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;

/**
 * UNDOCUMENTED (tested with 2.9.6): what `read` and `write` of a connection call, without the
 * promises around it.
 */
const { core } = (Deno as unknown as Record<symbol, { readonly core: Core }>)[Deno.internal]!;

interface Core {
  readonly internalRidSymbol: symbol;
  readonly internalFdSymbol: symbol;
  read(resource: number, into: Uint8Array): Promise<number>;
  write(resource: number, bytes: Uint8Array): Promise<number>;
}

/** Resolves with the number of bytes read; 0 at the peer's FIN or close_notify. */
export function readInto(conn: Conn, into: Uint8Array): Promise<number> {
  return core.read(resourceOf(conn), into);
}

/** Resolves with the number of bytes written: often fewer than given. */
export function writeFrom(conn: Conn, bytes: Uint8Array): Promise<number> {
  return core.write(resourceOf(conn), bytes);
}

function resourceOf(conn: Conn): number {
  return (conn as unknown as Record<symbol, number>)[core.internalRidSymbol]!;
}

/** Returns the descriptor of an accepted plain connection; Deno exposes no others. */
export function descriptorOf(conn: Conn): number | undefined {
  return (conn as unknown as Record<symbol, number | undefined>)[core.internalFdSymbol];
}

export const libc: Libc = openLibc();

/** Opens more functions of the C library. */
export function dlopen(calls: Record<string, readonly CType[]>, result: "i32" | "pointer") {
  const symbols = Object.entries(calls).map(([call, parameters]) => [call, { parameters, result }]);
  return Deno.dlopen(libcName, Object.fromEntries(symbols)).symbols;
}

function openLibc(): Libc {
  const calls = dlopen(signatures, "i32") as unknown as Omit<Libc, "errno">;
  const { __errno_location: location } = dlopen({ __errno_location: [] }, "pointer");
  // Each thread has its own, and this thread never changes.
  const errno = new Deno.UnsafePointerView(location!());
  const { UnsafePointer } = Deno;
  return {
    ...calls,
    errno: () => errno.getInt32(),
    addressOf: (bytes) => UnsafePointer.value(UnsafePointer.of(bytes)),
  };
}
