/**
 * The Node.js adapter: the handles below `node:net` and `node:tls`, with OpenSSL. They are
 * UNDOCUMENTED; they were read in Node 26.10, which is the version frozen into the executable, and
 * the tests of the adapters' contract cover them.
 */
import "./node/needs.ts";
import { isSea } from "node:sea";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ClientTls } from "./node/client_tls.ts";
import { connect } from "./node/connect.ts";
import { openDatagrams } from "./node/datagrams.ts";
import { libc } from "./node/libc.ts";
import { listen } from "./node/listen.ts";
import { loadEngine } from "./node/native_openssl.ts";
import { ServerTls } from "./node/server_tls.ts";
import { asksForTicketKeys, protocols } from "./openssl.ts";
import { runningFile } from "../os/constants.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsSettings } from "./tls.ts";
import type { TlsSettings } from "./tls.ts";
import type { Capabilities } from "./capabilities.ts";

export { connect, libc, listen, loadEngine, openDatagrams };

/** As in {@link Runtime}. */
export const name = "node";

/** Everything: OpenSSL and libuv leave nothing out. */
export const capabilities: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  swapCertificates: true,
  protocols,
  chooseProtocols: true,
  ciphers: true,
  ciphersuites: true,
  curves: true,
  preferServerCiphers: true,
  dualCertificates: true,
  sniAbort: true,
  verifyClients: true,
  headerFirst: true,
  dhParameters: true,
  staples: true,
  sessionTimeout: true,
  ticketKeys: asksForTicketKeys(),
  sessionCache: true,
  engines: true,
  backendTrust: true,
  unixBackendTls: true,
  remembersNames: false,
  tlsFacts: true,
};

/** The versions in use: Node's own, and that of the OpenSSL inside it. */
export function versions(): { runtime: string; tls: string } {
  return {
    runtime: `Node.js ${process.versions.node}`,
    tls: `OpenSSL ${process.versions.openssl}`,
  };
}

/** A single executable is the whole command; otherwise the script is named again. */
export const self: readonly string[] = isSea()
  ? [runningFile]
  : [process.execPath, process.argv[1] ?? ""];

/** libuv's way to epoll through io_uring costs a call for each change: a tenth of a connection. */
export const workerEnvironment = { UV_USE_IO_URING: "0" };

/**
 * As in {@link Runtime}: with OpenSSL's reason, or one that names the first cipher, cipher suite or
 * group which OpenSSL does not know and would leave out without a word.
 */
export function createTlsContext(settings: TlsSettings): ServerTls {
  return new ServerTls(settings);
}

/** As `createTlsContext`, in the direction of the backend. */
export function createClientTls(settings: ClientTlsSettings): ClientTls {
  return new ClientTls(settings);
}

/** V8's own collection, which it shows only on request; glibc keeps what OpenSSL has freed. */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
  libc.malloc_trim(0);
}

let collect: (() => void) | undefined;

import type * as Self from "./node.ts";
/** Fails to compile when this module no longer fulfils the contract. */
export type Check = typeof Self extends Runtime ? true : never;
