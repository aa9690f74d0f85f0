import { getSystemErrorName } from "node:util";
import { setOption } from "../../os/socket_options.ts";
import { TCP_QUICKACK } from "../../os/constants.ts";
import { IPPROTO_TCP } from "../../os/constants.ts";
import { UNRECOGNIZED_NAME } from "../openssl.ts";
import { type Failure, internalFailure, MAX_RECEIVED } from "../failure.ts";
import { distrust, dropSecret, keepSecret, reject } from "./client_certificate.ts";
import type { ServerContext, ServerIdentity } from "./contexts.ts";
import { handshakeFailure } from "./failures.ts";
import { libc } from "./libc.ts";
import {
  type NativeContext,
  type NativeError,
  type NativeHandlers,
  type NativeServerTls,
  type NativeSocket,
} from "./native.ts";
import { type BunStream, streamHandlers, type TlsStarter } from "./stream.ts";
import { unconnectedSocket } from "./unconnected.ts";

/** The failure of a client that closes before it starts a handshake. */
export const CLOSED_BEFORE_HANDSHAKE: Failure = {
  code: "ECONNRESET",
  message: "the client closed the connection before the handshake",
  fault: "closed",
};

/** The handshakes of one listener. */
export class Frontend implements TlsStarter {
  /** For sockets that {@link begin} is called for. */
  handlers: NativeHandlers;
  private upgradeHandlers: NativeHandlers;
  /** Its ticket keys are used for the life of the listener. */
  private readonly first: ServerContext;
  /** Serves new connections. */
  private current: ServerContext;

  constructor(context: ServerContext) {
    this.current = this.first = context;
    this.handlers = this.handlersFor(context);
    this.upgradeHandlers = this.upgrading();
  }

  get tls(): NativeServerTls {
    return this.first.tls;
  }

  /**
   * Serves new connections with this context; the listener must use the present `handlers` afterwards.
   * Throws an Error with an errno's name, and changes nothing, if no descriptor is available for a
   * temporary socket.
   */
  update(context: ServerContext): void {
    if (context === this.current) return;
    const handlers = this.handlersFor(context);
    // Bun negotiates ALPN and calls `serverName` for a context that TLS has started with, not for one
    // that was only passed to `setKeyCert`. So TLS is started with it on a socket without a peer.
    const socket = unconnectedSocket();
    if (!socket) throw new Error(`new certificates: ${getSystemErrorName(-libc.errno())}`);
    const { tls } = context;
    const unused = { ...handlers, ...NO_EVENTS };
    const pair = socket.upgradeTLS({ isServer: true, data: undefined, tls, socket: unused });
    pair?.[1].terminate();
    socket.terminate();
    this.current = context;
    this.handlers = handlers;
    this.upgradeHandlers = this.upgrading();
  }

  /** Called before the handshake starts on this socket. */
  begin(stream: BunStream, native: NativeSocket): void {
    const { current, first } = this;
    stream.native = native;
    stream.isTls = true;
    stream.identity = current.fallback;
    if (current === first) return;
    native.setKeyCert(current.fallback.context);
    current.fallback.switchVerifyMode(first.fallback, native);
  }

  /** Starts TLS on a plain socket; events that `early` causes come before this returns. */
  startTls(stream: BunStream, early: Uint8Array): void {
    const plain = stream.native!;
    if (early.length > 0) stream.early = early.slice(0, MAX_RECEIVED);
    stream.defersClosed = true;
    const sockets = plain.upgradeTLS({
      isServer: true,
      data: stream,
      tls: this.tls,
      socket: this.upgradeHandlers,
      ...(early.length > 0 ? { initialData: early } : {}),
    });
    stream.defersClosed = false;
    if (sockets) return;
    stream.failure = CLOSED_BEFORE_HANDSHAKE;
    plain.terminate();
  }

  /** BoringSSL's secrets are needed only for the alerts of clients that are rejected. */
  private handlersFor({ settings }: ServerContext): NativeHandlers {
    return {
      ...streamHandlers,
      serverName: (_, serverName, native) => this.selectContext(serverName, native),
      handshake,
      ...(settings.verifies ? { keylog: (native, line) => keepSecret(native.data, line) } : {}),
    };
  }

  private upgrading(): NativeHandlers {
    return { ...this.handlers, open: (native) => this.begin(native.data, native) };
  }

  private selectContext(serverName: string, native: NativeSocket): NativeContext | Error {
    const stream = native.data;
    stream.isNamed = true;
    let selected: ServerIdentity;
    try {
      const number = this.current.settings.select(serverName);
      if (number === undefined) return refuseName(stream, native);
      selected = this.current.identity(number);
    } catch (error) {
      stream.failure = internalFailure(error);
      // `terminate` must not be called from within the handshake.
      queueMicrotask(() => stream.native?.terminate());
      return new Error(stream.failure.message);
    }
    selected.switchVerifyMode(stream.identity!, native);
    stream.identity = selected;
    return selected.context;
  }
}

/** Bun prepares the context for the handlers that there are, such as `serverName`. */
const NO_EVENTS: NativeHandlers = {
  ...{ open() {}, data() {}, drain() {}, end() {}, close() {}, error() {}, handshake() {} },
  serverName: () => new Error("this socket has no peer"),
};

/** Sends the alert: Bun would close the connection without one. */
function refuseName(stream: BunStream, native: NativeSocket): Error {
  libc.write(native.fd, UNRECOGNIZED_NAME, UNRECOGNIZED_NAME.length);
  stream.failure = { code: "UNRECOGNIZED_NAME", message: "unrecognized server name" };
  return new Error(stream.failure.message);
}

function handshake(native: NativeSocket, ok: boolean, error: NativeError | undefined): void {
  const stream = native.data;
  const failure = handshakeFailure(ok, error, native);
  const { verify } = stream.identity!;
  const reason = failure || !verify
    ? undefined
    : distrust(native) ?? (verify === "required" ? error?.code : undefined);
  if (reason !== undefined) reject(stream, native, reason);
  dropSecret(stream);
  if (reason !== undefined) return;
  if (failure) {
    stream.failure ??= failure;
    return;
  }
  // BoringSSL delays the session tickets until our first write, so a client with Nagle on waits for
  // our delayed ACK (40 ms) before it sends its second small write.
  setOption(libc, native.fd, { level: IPPROTO_TCP, option: TCP_QUICKACK, value: 1 });
  stream.opened();
}
