/**
 * The Bun adapter: `Bun.listen` with BoringSSL. `bun/native.ts` marks what it uses of Bun beyond the
 * documentation.
 */
import { stat } from "node:fs";
import "./bun/needs.ts";
import { connect } from "./bun/connect.ts";
import { ClientContext, ServerContext } from "./bun/contexts.ts";
import { libc } from "./bun/libc.ts";
import { listen } from "./bun/listener.ts";
import { boringSsl } from "./bun/lists.ts";
import { bun } from "./bun/native.ts";
import { hasTicketKeyCallback, protocols } from "./openssl.ts";
import { COMMON_SUITES } from "./cipher_list.ts";
import { passedOverBy } from "./fit_lists.ts";
import { runningFile } from "../os/constants.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsContext } from "./tls.ts";
import type { TlsContext } from "./tls.ts";
import type { ClientTlsSettings } from "./tls.ts";
import type { PassedOver } from "./tls.ts";
import type { TlsParameters } from "./tls.ts";
import type { TlsSettings } from "./tls.ts";
import type { Capabilities } from "./capabilities.ts";

export { connect, libc, listen };

/** As in {@link Runtime}. */
export const name = "bun";

/** False: what BoringSSL does not support, or Bun does not expose. */
export const capabilities: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  swapCertificates: true,
  protocols,
  chooseProtocols: true,
  versionGaps: false,
  ciphers: true,
  ciphersuites: false,
  curves: true,
  offers: { ciphersuites: COMMON_SUITES },
  preferServerCiphers: true,
  dualCertificates: true,
  sniAbort: true,
  verifyClients: true,
  headerFirst: true,
  dhParameters: false,
  staples: false,
  sessionTimeout: true,
  ticketKeys: hasTicketKeyCallback(),
  sessionCache: false,
  engines: false,
  backendTrust: true,
  unixBackendTls: true,
  noTickets: true,
  remembersNames: false,
  closeNotify: false,
  truncation: false,
  tlsFacts: true,
};

/** Returns the versions of Bun and of the BoringSSL inside it. */
export function versions(): { runtime: string; tls: string } {
  return {
    runtime: `Bun ${bun.version}`,
    tls: `BoringSSL ${process.versions.boringssl?.slice(0, 12) ?? ""}`,
  };
}

/** In a compiled binary the script is inside the executable; otherwise it is an argument. */
export const self: readonly string[] = bun.isStandaloneExecutable
  ? [runningFile]
  : [process.execPath, bun.main];

/** Requests that keep a thread of the pool busy until the next one has started. */
const WORK_PER_THREAD = 8;

/** Empty: Bun needs no variables. */
export const workerEnvironment = {};

/** As in {@link Runtime}; makes the identity for clients without SNI at once. */
export function createTlsContext(settings: TlsSettings): TlsContext {
  return new ServerContext(settings);
}

/** As in {@link Runtime}. */
export function createClientTls(settings: ClientTlsSettings): ClientTlsContext {
  return new ClientContext(settings);
}

/** As in {@link Runtime}. */
export function passedOver(parameters: TlsParameters): PassedOver {
  return passedOverBy(boringSsl, parameters);
}

/** As in {@link Runtime}: JavaScriptCore would let the heap grow by half before it collects. */
export function collectGarbage(withCode: boolean): void {
  if (withCode) bun.shrink();
  bun.gc(true);
}

/** As in {@link Runtime}: the running executable is. */
export function keepProgram(): void {}

/**
 * As in {@link Runtime}: the collector's, and those of the pool, which gets one when work arrives and
 * all others are busy.
 */
export function startThreads(pool: number): void {
  for (let i = 0; i < WORK_PER_THREAD * pool; i++) stat("/", () => {});
  bun.gc(true);
}

/** Throws: BoringSSL has no engines. */
export function loadEngine(id: string): never {
  throw new Error(`the engine ${id} cannot be loaded: BoringSSL has no engines`);
}

/** Throws: the Bun build has no sessions to send. */
export function openDatagrams(): never {
  throw new Error("the Bun adapter opens no UDP sockets");
}

import type * as Self from "./bun.ts";
type Conforms<T extends Runtime> = T;
/** Does not compile if an export of this module does not fit the contract. */
export type Check = Conforms<typeof Self>;
