/** The parts of Deno's API that the adapter uses, and libc beside it. */
import { type CType, libcName, signatures } from "../libc.ts";
import type { Libc } from "../types.ts";

interface DenoApi {
  readonly internal: symbol;
  readonly version: { readonly deno: string };
  readonly build: { readonly standalone: boolean };
  readonly mainModule: string;
  execPath(): string;
  connect(options: { hostname: string; port: number; signal: AbortSignal }): Promise<Conn>;
  listenTls(options: {
    hostname: string;
    port: number;
    reusePort?: boolean;
    tcpBacklog?: number;
    cert?: string;
    key?: string;
    [sniResolver]?: (serverName: string) => Promise<{ cert: string; key: string }>;
  }): TlsListener;
  dlopen(
    path: string,
    symbols: Record<string, { parameters: readonly CType[]; result: "i32" | "pointer" }>,
  ): { readonly symbols: Record<string, (...values: (number | Uint8Array)[]) => unknown> };
  readonly UnsafePointerView: new (pointer: unknown) => { getInt32(): number };
}

export interface NetAddr {
  readonly hostname: string;
  readonly port: number;
}

export interface Conn {
  readonly localAddr: NetAddr;
  readonly remoteAddr: NetAddr;
  /** Resolves with null at the peer's FIN or close_notify. */
  read(into: Uint8Array): Promise<number | null>;
  /** Resolves with how many bytes were taken: often fewer than given. */
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(on: boolean): void;
}

export interface TlsConn extends Conn {
  handshake(): Promise<unknown>;
}

export interface TlsListener {
  readonly addr: NetAddr;
  accept(): Promise<TlsConn>;
  close(): void;
}

/**
 * Undocumented (tried with 2.9.6). It is asked once for each distinct name, in lower case, and ""
 * for a client without SNI; Deno keeps the answer, also a rejection, for ever.
 */
export const sniResolver: unique symbol = Symbol.for("unstableSniResolver");

export const Deno = (globalThis as unknown as { readonly Deno: DenoApi }).Deno;

/**
 * Undocumented (tried with 2.9.6): what `read` and `write` of a connection call, without the
 * promises around it.
 */
const core = (Deno as unknown as Record<symbol, { readonly core?: Core } | undefined>)[
  Deno.internal
]?.core;

interface Core {
  readonly internalRidSymbol: symbol;
  read(resource: number, into: Uint8Array): Promise<number>;
  write(resource: number, bytes: Uint8Array): Promise<number>;
}

/** Resolves with how many bytes came; 0 at the peer's FIN or close_notify. */
export const readInto: (conn: Conn, into: Uint8Array) => Promise<number> = core
  ? (conn, into) => core.read(resourceOf(conn), into)
  : (conn, into) => conn.read(into).then((count) => count ?? 0);

/** Resolves with how many bytes were taken: often fewer than given. */
export const writeFrom: (conn: Conn, bytes: Uint8Array) => Promise<number> = core
  ? (conn, bytes) => core.write(resourceOf(conn), bytes)
  : (conn, bytes) => conn.write(bytes);

function resourceOf(conn: Conn): number {
  return (conn as unknown as Record<symbol, number>)[core!.internalRidSymbol]!;
}

export const libc: Libc = openLibc();

/** Further calls of the C library. */
export function dlopen(calls: Record<string, readonly CType[]>, result: "i32" | "pointer") {
  const symbols = Object.entries(calls).map(([call, parameters]) => [call, { parameters, result }]);
  return Deno.dlopen(libcName, Object.fromEntries(symbols)).symbols;
}

function openLibc(): Libc {
  const calls = dlopen(signatures, "i32") as unknown as Omit<Libc, "errno">;
  const { __errno_location: location } = dlopen({ __errno_location: [] }, "pointer");
  // One place for each thread, and this thread never changes.
  const errno = new Deno.UnsafePointerView(location!());
  return { ...calls, errno: () => errno.getInt32() };
}
