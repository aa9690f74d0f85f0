/**
 * The Bun adapter: `Bun.listen` with BoringSSL. What it uses of Bun beyond its documentation is
 * marked in `bun/native.ts`.
 */
import "./bun/needs.ts";
import { connect } from "./bun/connect.ts";
import { ClientContext, ServerContext } from "./bun/contexts.ts";
import { libc } from "./bun/libc.ts";
import { listen } from "./bun/listener.ts";
import { bun } from "./bun/native.ts";
import { asksForTicketKeys, protocols } from "./openssl.ts";
import { runningFile } from "../os/constants.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsContext } from "./tls.ts";
import type { TlsContext } from "./tls.ts";
import type { ClientTlsSettings } from "./tls.ts";
import type { TlsSettings } from "./tls.ts";
import type { Capabilities } from "./capabilities.ts";

export { connect, libc, listen };

/** As in {@link Runtime}. */
export const name = "bun";

/** What BoringSSL has no use for, and what Bun keeps of it to itself, is false. */
export const capabilities: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  swapCertificates: true,
  protocols,
  chooseProtocols: true,
  ciphers: true,
  ciphersuites: false,
  curves: true,
  preferServerCiphers: true,
  dualCertificates: true,
  sniAbort: true,
  verifyClients: true,
  headerFirst: true,
  dhParameters: false,
  staples: false,
  sessionTimeout: true,
  ticketKeys: asksForTicketKeys(),
  sessionCache: false,
  engines: false,
  backendTrust: true,
  unixBackendTls: true,
  remembersNames: false,
  tlsFacts: true,
};

/** The versions in use: Bun's own, and that of the BoringSSL inside it. */
export function versions(): { runtime: string; tls: string } {
  return {
    runtime: `Bun ${bun.version}`,
    tls: `BoringSSL ${process.versions.boringssl?.slice(0, 12) ?? ""}`,
  };
}

/** In a compiled binary the script is inside the executable; otherwise it is named again. */
export const self: readonly string[] = bun.isStandaloneExecutable
  ? [runningFile]
  : [process.execPath, bun.main];

/** Nothing. */
export const workerEnvironment = {};

/** Makes the identity for clients without SNI at once. Throws an Error with BoringSSL's reason. */
export function createTlsContext(settings: TlsSettings): TlsContext {
  return new ServerContext(settings);
}

/** Throws an Error with BoringSSL's reason. */
export function createClientTls(settings: ClientTlsSettings): ClientTlsContext {
  return new ClientContext(settings);
}

/** JavaScriptCore would let the heap grow by half before it looks. */
export function collectGarbage(withCode: boolean): void {
  if (withCode) bun.shrink();
  bun.gc(true);
}

/** BoringSSL has no engines. */
export function loadEngine(id: string): never {
  throw new Error(`the engine ${id} cannot be loaded: BoringSSL has no engines`);
}

/** As in {@link Runtime}: the Bun build has no sessions to send. */
export function openDatagrams(): never {
  throw new Error("the Bun adapter opens no UDP sockets");
}

import type * as Self from "./bun.ts";
type Fulfils<T extends Runtime> = T;
/** Fails to compile when this module no longer fulfils the contract. */
export type Check = Fulfils<typeof Self>;
