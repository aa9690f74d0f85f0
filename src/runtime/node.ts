/**
 * The Node.js adapter: the handles below `node:net` and `node:tls`, with OpenSSL. They are
 * UNDOCUMENTED; their source is Node 26.10, the version frozen into the executable, and the tests of
 * the adapters' contract cover them.
 */
import "./node/needs.ts";
import { stat } from "node:fs";
import { isSea } from "node:sea";
import { ClientTls } from "./node/client_tls.ts";
import { connect } from "./node/connect.ts";
import { openDatagrams } from "./node/datagrams.ts";
import { collectGarbage } from "./node/garbage.ts";
import { libc } from "./node/libc.ts";
import { listen } from "./node/listen.ts";
import { loadEngine } from "./node/native_openssl.ts";
import { ServerTls } from "./node/server_tls.ts";
import { openSsl } from "./node/parameters.ts";
import { passedOverBy } from "./fit_lists.ts";
import { hasTicketKeyCallback, protocols } from "./openssl.ts";
import { runningFile } from "../os/constants.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsSettings } from "./tls.ts";
import type { PassedOver } from "./tls.ts";
import type { TlsParameters } from "./tls.ts";
import type { TlsSettings } from "./tls.ts";
import type { Capabilities } from "./capabilities.ts";

export { collectGarbage, connect, libc, listen, loadEngine, openDatagrams };

/** As in {@link Runtime}. */
export const name = "node";

/** Everything: OpenSSL and libuv lack nothing. */
export const capabilities: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  swapCertificates: true,
  protocols,
  chooseProtocols: true,
  versionGaps: true,
  ciphers: true,
  ciphersuites: true,
  curves: true,
  offers: {},
  preferServerCiphers: true,
  dualCertificates: true,
  sniAbort: true,
  verifyClients: true,
  headerFirst: true,
  dhParameters: true,
  staples: true,
  sessionTimeout: true,
  ticketKeys: hasTicketKeyCallback(),
  sessionCache: true,
  engines: true,
  backendTrust: true,
  unixBackendTls: true,
  noTickets: true,
  remembersNames: false,
  closeNotify: true,
  truncation: true,
  tlsFacts: true,
};

/** Returns the versions of Node and of the OpenSSL inside it. */
export function versions(): { runtime: string; tls: string } {
  return {
    runtime: `Node.js ${process.versions.node}`,
    tls: `OpenSSL ${process.versions.openssl}`,
  };
}

/** A single executable is the whole command; otherwise the script is an argument. */
export const self: readonly string[] = isSea()
  ? [runningFile]
  : [process.execPath, process.argv[1] ?? ""];

/** With io_uring, libuv makes a call for each change to epoll, which costs a tenth of a connection. */
export const workerEnvironment = { UV_USE_IO_URING: "0" };

/** As in {@link Runtime}. */
export function passedOver(parameters: TlsParameters): PassedOver {
  return passedOverBy(openSsl, parameters);
}

/** As in {@link Runtime}. */
export function createTlsContext(settings: TlsSettings): ServerTls {
  return new ServerTls(settings);
}

/** As in {@link Runtime}. */
export function createClientTls(settings: ClientTlsSettings): ClientTls {
  return new ClientTls(settings);
}

/** As in {@link Runtime}: the running executable is. */
export function keepProgram(): void {}

/** As in {@link Runtime}: libuv starts all threads of its pool at the first work for it. */
export function startThreads(): void {
  stat("/", () => {});
}

import type * as Self from "./node.ts";
type Conforms<T extends Runtime> = T;
/** Does not compile if an export of this module does not fit the contract. */
export type Check = Conforms<typeof Self>;
