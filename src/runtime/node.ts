/**
 * The Node.js adapter: `node:net` with `node:tls` on top, OpenSSL. What is marked UNDOCUMENTED is
 * absent from Node's documentation; it was read in Node 26.10, which is the version frozen into
 * the executable, and tests/unit/runtime.test.ts covers each of them.
 */
import type * as Ffi from "node:ffi";
import * as net from "node:net";
import { isSea } from "node:sea";
import type { DuplexOptions } from "node:stream";
import * as tls from "node:tls";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import { cInt, SO_LINGER, SOL_SOCKET } from "../platform.ts";
import { libcName, signatures } from "./libc.ts";
import { nobody } from "./nobody.ts";
import { cipherItems, contextOptions, protocols, tlsFacts } from "./openssl.ts";
import type {
  Capabilities,
  Failure,
  IpEndpoint,
  Libc,
  Listener,
  ListenOptions,
  Runtime,
  Stream,
  StreamOwner,
  TlsContext,
  TlsFacts,
  TlsSettings,
} from "./types.ts";

/** As in {@link Runtime}. */
export const name = "node";

/** Everything: OpenSSL and libuv leave nothing out. */
export const capabilities: Capabilities = {
  adoptSockets: true,
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

/** By `node:ffi`, which is on by default since Node 26. */
export const libc: Libc = openLibc();

/**
 * One OpenSSL context for each certificate. Throws an Error with OpenSSL's reason, or one that
 * names the first cipher which OpenSSL does not know and would leave out without a word.
 */
export function createTlsContext(settings: TlsSettings): NodeTlsContext {
  const { certificates, select } = settings;
  const ciphers = cipherList(settings);
  const contexts = certificates.map((certificate) =>
    tls.createSecureContext({ ...contextOptions(settings, certificate), ciphers })
  );
  const options: ServerSocketOptions = {
    isServer: true,
    secureContext: contexts[select("")]!,
    highWaterMark: STOP_AT_ONCE,
  };
  if (contexts.length > 1) {
    options.SNICallback = (serverName, done) => {
      let context: tls.SecureContext | undefined;
      try {
        context = contexts[select(serverName)];
      } catch (error) {
        done(error as Error);
        return;
      }
      done(null, context);
    };
  }
  return { settings, options };
}

/**
 * Accepts on an inherited descriptor. Throws an Error with the errno's name as `code` when it is
 * no listening socket. Without descriptors to spare libuv closes new connections by itself, so
 * `failed` does not hear of EMFILE.
 */
export function listen({ on, backlog, tls: context, accepted, failed }: ListenOptions): Listener {
  if (!("fd" in on)) throw new Error("the Node.js adapter listens on inherited descriptors");
  // `server.listen` would tell a bad descriptor only later, by an event.
  if (libc.listen(on.fd, backlog) < 0) throw systemError("listen", libc.errno());
  const { options } = context as NodeTlsContext;
  const server = net.createServer({ allowHalfOpen: true }, (raw) => {
    const stream = new NodeStream(new SecureSocket(raw, options), raw);
    const { socket } = stream;
    // UNDOCUMENTED: gets every error, also after the handshake, where `error` would need
    // `_releaseControl` first; and TLSSocket listens to `error` itself.
    socket.on("_tlsError", onError);
    socket.on("secure", onOpen);
    listenTo(socket);
    try {
      stream.owner = accepted(stream);
    } catch (error) {
      stream.owner = nobody;
      stream.reset();
      failed(internal(error));
    }
  });
  server.on("error", (error) => failed(failureOf(error)));
  server.listen({ fd: on.fd, backlog });
  return { close: () => void server.close() };
}

/** Connects to a numeric address; failures come by `closed`, with the errno's name. */
export function connect(backend: IpEndpoint, owner: StreamOwner): Stream {
  const options: net.TcpNetConnectOpts & DuplexOptions = {
    host: backend.address,
    port: backend.port,
    allowHalfOpen: true,
    noDelay: true,
    highWaterMark: STOP_AT_ONCE,
  };
  const socket = net.connect(options) as StreamSocket;
  const stream = new NodeStream(socket, socket, backend);
  stream.owner = owner;
  socket.on("error", onError);
  socket.on("connect", onOpen);
  listenTo(socket);
  return stream;
}

class NodeStream implements Stream {
  owner!: StreamOwner;
  readonly remote: IpEndpoint;
  readonly socket: StreamSocket;
  /** The TCP socket below TLS; for a backend `socket` itself. */
  readonly raw: net.Socket;
  localEndpoint: IpEndpoint | undefined;
  failure: Failure | undefined;
  isOpen = false;
  isBlocked = false;
  isFinishing = false;
  hasEnded = false;
  isGivenUp = false;

  constructor(socket: StreamSocket, raw: net.Socket, backend?: IpEndpoint) {
    this.socket = socket;
    this.raw = raw;
    socket.stream = this;
    if (backend) {
      this.remote = backend;
    } else {
      // Both can be had only while the connection stands.
      this.remote = endpoint(raw.remoteAddress, raw.remotePort);
      this.localEndpoint = endpoint(raw.localAddress, raw.localPort);
    }
  }

  get local(): IpEndpoint {
    return this.localEndpoint ?? endpoint(this.raw.localAddress, this.raw.localPort);
  }

  write(bytes: Uint8Array): boolean {
    const { socket } = this;
    if (this.isFinishing || socket.destroyed) return true;
    const waiting = socket.writableLength;
    socket.write(bytes);
    if (socket.writableLength === 0) return true;
    // TLS reports every write later. What had nothing before it is already encrypted, and one
    // such chunk may be on its way, so that the source need not stop for each.
    if (this.raw !== socket && this.isOpen && waiting === 0 && bytes.length <= CHUNK) return true;
    this.isBlocked = true;
    return false;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  finish(): void {
    if (this.isFinishing || this.socket.destroyed) return;
    this.isFinishing = true;
    this.socket.end();
  }

  close(): void {
    if (this.socket.destroyed) return;
    this.isGivenUp = true;
    this.socket.destroy();
  }

  reset(): void {
    if (this.socket.destroyed) return;
    this.isGivenUp = true;
    // `resetAndDestroy` waits for a pending connect, and fails while a shutdown is pending.
    const fd = (this.raw as RawSocket)._handle?.fd ?? -1;
    if (fd >= 0) libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, cutOnClose, cutOnClose.length);
    this.socket.destroy();
  }

  tls(): TlsFacts {
    const { socket } = this;
    if (!(socket instanceof SecureSocket)) return {};
    // Without a handle, after close, it answers undefined, against its type.
    const cipher = socket.getCipher() as { name?: string } | undefined;
    return tlsFacts(socket.servername, socket.getProtocol(), cipher?.name, socket.alpnProtocol);
  }
}

/** Declares the property beforehand, so that all sockets have the same shape. */
class SecureSocket extends tls.TLSSocket {
  stream!: NodeStream;
  declare servername: string | false | null;
}

type StreamSocket = net.Socket & { stream: NodeStream };

// The handlers are shared by all sockets: a connection costs no closure of ours.

function listenTo(socket: StreamSocket): void {
  socket.on("data", onData);
  socket.on("drain", onDrain);
  socket.on("end", onEnd);
  socket.on("close", onClose);
}

function onOpen(this: net.Socket): void {
  const { stream } = this as StreamSocket;
  stream.isOpen = true;
  try {
    stream.owner.opened(stream);
  } catch (error) {
    abandon(stream, error);
  }
}

function onData(this: net.Socket, bytes: Uint8Array): void {
  const { stream } = this as StreamSocket;
  try {
    stream.owner.received(stream, bytes);
  } catch (error) {
    abandon(stream, error);
  }
}

function onDrain(this: net.Socket): void {
  const { stream } = this as StreamSocket;
  if (!stream.isBlocked) return;
  stream.isBlocked = false;
  try {
    stream.owner.writable(stream);
  } catch (error) {
    abandon(stream, error);
  }
}

function onEnd(this: net.Socket): void {
  const { stream } = this as StreamSocket;
  if (!stream.isOpen) {
    stream.failure ??= { code: "ECONNRESET", message: "the peer left during the handshake" };
    this.destroy();
    return;
  }
  stream.hasEnded = true;
  try {
    stream.owner.ended(stream);
  } catch (error) {
    abandon(stream, error);
  }
}

function onError(this: net.Socket, error: Error): void {
  const { stream } = this as StreamSocket;
  if (!stream.isGivenUp) stream.failure ??= failureOf(error);
  // An error of TLS after the handshake leaves the socket open.
  this.destroy();
}

function onClose(this: net.Socket): void {
  const { stream } = this as StreamSocket;
  const inOrder = stream.isGivenUp || (stream.hasEnded && this.writableFinished);
  if (!inOrder) stream.failure ??= { code: "ECONNRESET", message: "the connection broke off" };
  try {
    stream.owner.closed(stream, stream.failure);
  } catch {
    // The stream is gone: there is nothing left to end, and nobody to tell.
  }
}

/** Ends a stream whose owner threw. */
function abandon(stream: NodeStream, error: unknown): void {
  stream.failure ??= internal(error);
  stream.reset();
}

function internal(error: unknown): Failure {
  return { code: "ERR_INTERNAL", message: oneLine(String((error as Error)?.message ?? error)) };
}

/** The library's reason alone for TLS, the system's words for an errno. */
function failureOf(error: SocketError): Failure {
  const message = error.reason ??
    (error.errno === undefined ? error.message : getSystemErrorMessage(error.errno));
  return { code: error.code ?? error.name, message: oneLine(message ?? "unknown reason") };
}

function systemError(call: string, errno: number): Error {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${call}: ${getSystemErrorMessage(-errno) ?? code}`), { code });
}

function oneLine(text: string): string {
  return text.split("\n", 1)[0]!;
}

function endpoint(address = "0.0.0.0", port = 0): IpEndpoint {
  return { family: address.includes(":") ? 6 : 4, address: address.split("%", 1)[0]!, port };
}

/** TLS 1.0 and 1.1 need a signature that OpenSSL 3 has below its default security level only. */
function cipherList({ ciphers, protocols }: TlsSettings): string {
  const items = cipherItems(ciphers);
  if (items.length === 0) items.push(tls.DEFAULT_CIPHERS);
  if (protocols.some((protocol) => protocol < "TLSv1.2")) items.push("@SECLEVEL=0");
  return items.join(":");
}

function openLibc(): Libc {
  const { emitWarning } = process;
  // Loading the module warns that it is experimental; nothing else happens meanwhile.
  process.emitWarning = () => {};
  let ffi: typeof Ffi;
  try {
    ffi = process.getBuiltinModule("node:ffi");
  } finally {
    process.emitWarning = emitWarning;
  }
  const definitions: Record<string, Ffi.FunctionSignature> = {
    __errno_location: { arguments: [], return: "pointer" },
  };
  for (const [call, types] of Object.entries(signatures)) {
    definitions[call] = { arguments: types, return: "i32" };
  }
  const functions: Record<string, CFunction> = ffi.dlopen(libcName, definitions).functions;
  const calls: Record<string, CFunction> = {};
  for (const [call, types] of Object.entries<readonly string[]>(signatures)) {
    const native = functions[call]!;
    calls[call] = types.includes("u64") ? withBigInts(native, types) : native;
  }
  const location = functions.__errno_location!;
  return { ...calls as unknown as Libc, errno: () => ffi.getInt32(location()) };
}

/** Node takes 64-bit arguments only as bigint. */
function withBigInts(native: CFunction, types: readonly string[]): CFunction {
  return (...values) =>
    native(...values.map((value, i) => types[i] === "u64" ? BigInt(value as number) : value));
}

// deno-lint-ignore no-explicit-any -- the table of signatures types each call, see `Libc`
type CFunction = (...values: any[]) => any;

/** Most that a socket is read in one go, and most that TLS may hold back unreported, in bytes. */
const CHUNK = 65536;

/**
 * A high-water mark of one byte: a write that the kernel did not take at once is always followed
 * by `drain`, and a paused socket holds one chunk and not more.
 */
const STOP_AT_ONCE = 1;

/** `struct linger`: on, no time, so that closing sends RST. */
const cutOnClose = new Uint8Array([...cInt(1), ...cInt(0)]);

interface NodeTlsContext extends TlsContext {
  readonly options: ServerSocketOptions;
}

/** `highWaterMark` is UNDOCUMENTED here, though documented for `tls.connect`. */
type ServerSocketOptions = tls.TLSSocketOptions & { highWaterMark: number };

type SocketError = NodeJS.ErrnoException & { reason?: string };

/** UNDOCUMENTED: the handle of libuv. */
type RawSocket = net.Socket & { readonly _handle: { readonly fd: number } | null };

import type * as Self from "./node.ts";
/** Fails to compile when this module no longer fulfils the contract. */
export type Check = typeof Self extends Runtime ? true : never;
