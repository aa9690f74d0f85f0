/**
 * The Node.js adapter: the handles below `node:net` and `node:tls`, with OpenSSL. They are
 * UNDOCUMENTED; they were read in Node 26.10, which is the version frozen into the executable, and
 * tests/unit/runtime.test.ts covers them.
 */
import { isSea } from "node:sea";
import * as tls from "node:tls";
import {
  acceptedStream,
  connect,
  errnoFailure,
  internalFailure,
  type ServerContext,
} from "./node/stream.ts";
import { handles, type NativeContext } from "./node/handles.ts";
import { libc } from "./node/libc.ts";
import { nobody } from "./nobody.ts";
import { cipherItems, contextOptions, protocols } from "./openssl.ts";
import type {
  Capabilities,
  Listener,
  ListenOptions,
  Runtime,
  TlsContext,
  TlsSettings,
} from "./types.ts";

export { connect, libc };

/** As in {@link Runtime}. */
export const name = "node";

/** Everything: OpenSSL and libuv leave nothing out. */
export const capabilities: Capabilities = {
  adoptSockets: true,
  backendSource: true,
  protocols,
  chooseProtocols: true,
  ciphers: true,
  preferServerCiphers: true,
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

/**
 * A single executable is the whole command; otherwise the script is named again. Without its
 * flag, SIGUSR1 would open a debugger's port; the executable has it built in.
 */
export const self: readonly string[] = isSea()
  ? [process.execPath]
  : [process.execPath, "--disable-sigusr1", process.argv[1] ?? ""];

/** libuv's way to epoll through io_uring costs a call for each change: a tenth of a connection. */
export const workerEnvironment = { UV_USE_IO_URING: "0" };

/**
 * One OpenSSL context for each certificate. Throws an Error with OpenSSL's reason, or one that
 * names the first cipher which OpenSSL does not know and would leave out without a word, or one
 * that tells that this Node is not the one it was written for.
 */
export function createTlsContext(settings: TlsSettings): NodeTlsContext {
  if (!handles) throw new Error(`Node.js ${process.versions.node} is not supported, 26 is`);
  const { certificates, select } = settings;
  const ciphers = cipherList(settings);
  const contexts = certificates.map((certificate) => {
    const options = { ...contextOptions(settings, certificate), ciphers };
    return tls.createSecureContext(options).context as NativeContext;
  });
  return {
    settings,
    fallback: contexts[select("")]!,
    choose: contexts.length > 1 ? (serverName) => contexts[select(serverName)]! : undefined,
  };
}

/**
 * Accepts on an inherited descriptor. Throws an Error with the errno's name as `code` when it is
 * no listening socket. Without descriptors to spare libuv closes new connections by itself, so
 * `failed` does not hear of EMFILE.
 */
export function listen({ on, backlog, tls: context, accepted, failed }: ListenOptions): Listener {
  if (!("fd" in on)) throw new Error("the Node.js adapter listens on inherited descriptors");
  const listening = new handles!.TCP(handles!.SERVER);
  listening.onconnection = (status, tcp) => {
    if (status < 0) return failed(errnoFailure(status));
    const stream = acceptedStream(tcp, context as NodeTlsContext);
    try {
      stream.owner = accepted(stream);
    } catch (error) {
      stream.owner = nobody;
      stream.reset();
      failed(internalFailure(error));
    }
  };
  const status = listening.open(on.fd) || listening.listen(backlog);
  if (status < 0) {
    listening.close();
    const { code, message } = errnoFailure(status);
    throw Object.assign(new Error(`listen: ${message}`), { code });
  }
  return { close: () => listening.close() };
}

/** TLS 1.0 and 1.1 need a signature that OpenSSL 3 has below its default security level only. */
function cipherList({ ciphers, protocols }: TlsSettings): string {
  const items = cipherItems(ciphers);
  if (items.length === 0) items.push(tls.DEFAULT_CIPHERS);
  if (protocols.some((protocol) => protocol < "TLSv1.2")) items.push("@SECLEVEL=0");
  return items.join(":");
}

interface NodeTlsContext extends TlsContext, ServerContext {}

import type * as Self from "./node.ts";
/** Fails to compile when this module no longer fulfils the contract. */
export type Check = typeof Self extends Runtime ? true : never;
