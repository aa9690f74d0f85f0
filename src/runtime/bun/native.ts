/**
 * The parts of Bun's API that the adapter uses. Names marked UNDOCUMENTED are absent from Bun's
 * documentation and types; they are from node:net and node:tls of Bun 1.4.5, the version frozen into
 * the binary, and tests/unit/runtime*.test.ts cover each of them.
 */
import type { TicketContext } from "../openssl.ts";
import type { BunStream } from "./stream.ts";

/** A BoringSSL SSL_CTX; opaque. */
export interface NativeContext extends TicketContext {
  readonly __brand: "SSL_CTX";
}
export type NativeError = Error & { code?: string };

export interface NativeSocket {
  data: BunStream;
  readonly fd: number;
  readonly alpnProtocol: string | false | null;
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  close(): void;
  terminate(): void;
  getServername(): string | undefined;
  getTLSVersion(): string;
  getCipher(): { name: string | null } | undefined;
  isSessionReused(): boolean;
  /** In BoringSSL's own format; a client of TLS 1.3 must wait for `session`. */
  getSession(): Uint8Array | undefined;
  /** From within `open`: the session that a client offers. */
  setSession(session: Uint8Array): void;
  /** In the form of node:tls; `true` leaves the issuers out. */
  getPeerCertificate(brief: true): { readonly raw?: Uint8Array } | undefined;
  getAuthorizationError(): NativeError | null | undefined;
  /** UNDOCUMENTED: whether to request a certificate, and whether to reject an untrusted one. */
  setVerifyMode(request: boolean, refuse: boolean): void;
  /** UNDOCUMENTED: from now on this socket presents the certificates of that context. */
  setKeyCert(context: NativeContext): void;
  /**
   * Starts TLS on a plain socket; `isServer` and `initialData` are UNDOCUMENTED. Returns undefined if
   * the socket has just closed.
   */
  upgradeTLS(options: {
    isServer: true;
    data: BunStream | undefined;
    tls: NativeServerTls;
    socket: NativeHandlers;
    initialData?: Uint8Array;
  }): readonly [plain: NativeSocket, encrypted: NativeSocket] | undefined;
}

export interface NativeHandlers {
  open?(native: NativeSocket): void;
  data(native: NativeSocket, bytes: Uint8Array): void;
  drain(native: NativeSocket): void;
  end(native: NativeSocket): void;
  close(native: NativeSocket, error: NativeError | undefined): void;
  error(native: NativeSocket, error: NativeError): void;
  handshake?(native: NativeSocket, ok: boolean, error: NativeError | undefined): void;
  /** UNDOCUMENTED: a client of TLS 1.3 has received a session. */
  session?(native: NativeSocket, session: Uint8Array): void;
  /** UNDOCUMENTED: called only if the client sent SNI, with its spelling. An Error rejects the name. */
  serverName?(data: unknown, serverName: string, native: NativeSocket): NativeContext | Error;
}

/** `secureContext` is UNDOCUMENTED; other TLS options beside it would be ignored silently. */
export interface NativeServerTls {
  readonly secureContext: NativeContext;
  /** In wire format. */
  readonly ALPNProtocols?: Uint8Array;
}

export interface NativeClientTls extends NativeServerTls {
  readonly serverName?: string;
  readonly rejectUnauthorized: false;
}

interface BunApi {
  readonly version: string;
  readonly main: string;
  readonly isStandaloneExecutable?: boolean;
  /** Collects garbage now, or soon. */
  gc(now: boolean): void;
  /** UNDOCUMENTED. Frees compiled code and unused memory, and collects garbage. */
  shrink(): void;
  /** `fd` is UNDOCUMENTED in both. */
  listen(options: {
    fd: number;
    allowHalfOpen: true;
    tls?: NativeServerTls;
    socket: NativeHandlers;
  }): { stop(force: boolean): void };
  connect(options: {
    fd: number;
    allowHalfOpen: true;
    data: BunStream | undefined;
    tls?: NativeClientTls;
    socket: NativeHandlers;
  }): Promise<unknown>;
}

export const bun: BunApi = (globalThis as unknown as { Bun: BunApi }).Bun;
