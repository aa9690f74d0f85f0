import { getSystemErrorName } from "node:util";
import { setOption } from "../../os/socket_options.ts";
import { TCP_QUICKACK } from "../../os/constants.ts";
import { IPPROTO_TCP } from "../../os/constants.ts";
import { SOCK_CLOEXEC } from "../../os/constants.ts";
import { SOCK_NONBLOCK } from "../../os/constants.ts";
import { SOCK_STREAM } from "../../os/constants.ts";
import { AF_UNIX } from "../../os/constants.ts";
import { UNRECOGNIZED_NAME } from "../openssl.ts";
import { type Failure, internalFailure } from "../failure.ts";
import {
  failureOf,
  handshakeFailure,
  type ServerContext,
  type ServerIdentity,
} from "./contexts.ts";
import { libc } from "./libc.ts";
import {
  bun,
  type NativeContext,
  type NativeError,
  type NativeHandlers,
  type NativeServerTls,
  type NativeSocket,
} from "./native.ts";
import { type BunStream, type Encrypter, streamHandlers } from "./stream.ts";

/** A client that said nothing of TLS. */
export const EARLY_END: Failure = {
  code: "ECONNRESET",
  message: "the client left before its handshake",
};

/** The handshakes of one listener. */
export class Frontend implements Encrypter {
  /** For sockets that {@link begin} is called for. */
  readonly handlers: NativeHandlers;
  /** The keys of its tickets stay in use for as long as the listener lives. */
  private readonly first: ServerContext;
  /** Serves new connections. */
  private current: ServerContext;
  private readonly upgradeHandlers: NativeHandlers;

  constructor(context: ServerContext) {
    this.current = this.first = context;
    this.handlers = {
      ...streamHandlers,
      serverName: (_, serverName, native) => this.choose(serverName, native),
      handshake,
    };
    this.upgradeHandlers = {
      ...this.handlers,
      open: (native) => this.begin(native.data, native),
    };
  }

  get tls(): NativeServerTls {
    return this.first.tls;
  }

  /**
   * Serves new connections with these settings. Throws an Error with an errno's name, and leaves
   * all as it was, when no descriptor is to be had for a moment.
   */
  update(context: ServerContext): void {
    if (context === this.current) return;
    // Bun calls `serverName` for a context that a listener was made with, not for one that only
    // `setKeyCert` knows. So one is made, at an address that the kernel invents, and ended.
    const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw new Error(`new certificates: ${getSystemErrorName(-libc.errno())}`);
    libc.bind(fd, UNNAMED, UNNAMED.length);
    bun.listen({ fd, allowHalfOpen: true, tls: context.tls, socket: this.handlers }).stop(true);
    this.current = context;
  }

  /** The handshake is about to start on this socket. */
  begin(stream: BunStream, native: NativeSocket): void {
    const { current, first } = this;
    stream.native = native;
    stream.isTls = true;
    stream.identity = current.fallback;
    if (current === first) return;
    native.setKeyCert(current.fallback.context);
    current.fallback.verifyInsteadOf(first.fallback, native);
  }

  /** Puts TLS on a plain socket; what `early` brings about happens before this returns. */
  startTls(stream: BunStream, early: Uint8Array): void {
    const plain = stream.native!;
    stream.isHeld = true;
    const sockets = plain.upgradeTLS({
      isServer: true,
      data: stream,
      tls: this.tls,
      socket: this.upgradeHandlers,
      ...(early.length > 0 ? { initialData: early } : {}),
    });
    stream.isHeld = false;
    if (sockets) return;
    stream.failure = EARLY_END;
    plain.terminate();
  }

  private choose(serverName: string, native: NativeSocket): NativeContext | Error {
    const stream = native.data;
    let chosen: ServerIdentity;
    try {
      const number = this.current.settings.select(serverName);
      if (number === undefined) return refuseName(stream, native);
      chosen = this.current.identity(number);
    } catch (error) {
      stream.failure = internalFailure(error);
      // Not from within its own handshake.
      queueMicrotask(() => stream.native?.terminate());
      return new Error(stream.failure.message);
    }
    chosen.verifyInsteadOf(stream.identity!, native);
    stream.identity = chosen;
    return chosen.context;
  }
}

/** A Unix socket's address without a path: Linux gives the socket an abstract name of its own. */
const UNNAMED = new Uint8Array(new Uint16Array([AF_UNIX]).buffer);

/** Bun would end the connection without an alert. */
function refuseName(stream: BunStream, native: NativeSocket): Error {
  libc.write(native.fd, UNRECOGNIZED_NAME, UNRECOGNIZED_NAME.length);
  stream.failure = { code: "UNRECOGNIZED_NAME", message: "unrecognized server name" };
  return new Error(stream.failure.message);
}

function handshake(native: NativeSocket, ok: boolean, error: NativeError | undefined): void {
  const stream = native.data;
  const failure = handshakeFailure(ok, error, "client");
  if (failure) {
    stream.failure ??= failure;
    return;
  }
  if (error && stream.identity!.verify === "required") {
    // Bun lets nothing pass on such a connection, so the owner cannot decide.
    stream.failure = failureOf(error);
    native.close();
    return;
  }
  // BoringSSL holds the session tickets back until our first write, so a client with Nagle on
  // waits for our delayed ACK (40 ms) before it sends its second small write.
  setOption(libc, native.fd, { level: IPPROTO_TCP, option: TCP_QUICKACK, value: 1 });
  stream.opened();
}
