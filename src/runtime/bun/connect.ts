import { getSystemErrorName } from "node:util";
import { resetOnClose } from "../../os/reset_on_close.ts";
import { setOption } from "../../os/socket_options.ts";
import { familyOf } from "../../os/sockaddr.ts";
import { EINPROGRESS } from "../../os/constants.ts";
import { IP_BIND_ADDRESS_NO_PORT } from "../../os/constants.ts";
import { IPPROTO_IP } from "../../os/constants.ts";
import { SOCK_CLOEXEC } from "../../os/constants.ts";
import { SOCK_NONBLOCK } from "../../os/constants.ts";
import { SOCK_STREAM } from "../../os/constants.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { StreamHandler } from "../stream.ts";
import type { Stream } from "../stream.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { IpEndpoint } from "../../os/endpoint.ts";
import { ClientContext } from "./contexts.ts";
import { handshakeFailure } from "./failures.ts";
import { libc, sockaddrOf } from "./libc.ts";
import { bun, type NativeError, type NativeHandlers, type NativeSocket } from "./native.ts";
import { BunStream, streamHandlers } from "./stream.ts";

/**
 * As in {@link Runtime}. A pending `Bun.connect` to an address cannot be abandoned, so the socket is
 * made here and passed to Bun, and `terminate` closes it at any time. Bun sets TCP_NODELAY.
 */
export function connect(
  backend: Endpoint,
  handler: StreamHandler,
  source?: IpEndpoint,
  tls?: ClientTlsContext,
): Stream {
  const fd = libc.socket(familyOf(backend), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failedStream(handler, backend, libc.errno());
  if (backend.family !== "unix") resetOnClose(libc, fd);
  if (source) bindTo(fd, source);
  const address = sockaddrOf(backend);
  if (libc.connect(fd, address, address.length) < 0) {
    const errno = libc.errno();
    if (errno !== EINPROGRESS) {
      libc.close(fd);
      return failedStream(handler, backend, errno);
    }
  }
  const stream = new BunStream(undefined, tls !== undefined, address, true);
  stream.handler = handler;
  const socket = tls ? tlsHandlers(tls as ClientContext) : plainHandlers;
  const options = { fd, allowHalfOpen: true, data: stream, socket } as const;
  bun.connect(tls ? { ...options, tls: (tls as ClientContext).tls } : options);
  return stream;
}

const plainHandlers: NativeHandlers = {
  ...streamHandlers,
  open(native) {
    native.data.native = native;
  },
  // The first `drain` means that the socket is connected. A write before it would consume the errno
  // of a failed connect, and `close` could not report it.
  drain(native) {
    if (native.data.isOpen) streamHandlers.drain(native);
    else native.data.connected();
  },
  data(native, bytes) {
    native.data.connected();
    if (native.data.native) native.data.received(bytes);
  },
  end(native) {
    native.data.connected();
    if (native.data.native) native.data.ended();
  },
};

const handlersOfContexts = new WeakMap<ClientContext, NativeHandlers>();

/** Returns handlers that are made once for each context. */
function tlsHandlers(context: ClientContext): NativeHandlers {
  const known = handlersOfContexts.get(context);
  if (known) return known;
  const made: NativeHandlers = {
    ...streamHandlers,
    open(native) {
      const stream = native.data;
      stream.native = native;
      stream.backendSession = context.sessions.connect(stream.remote);
      const { bytes } = stream.backendSession;
      if (bytes) native.setSession(bytes);
    },
    handshake: (native, ok, error) => handshakeDone(context, native, ok, error),
    // Of TLS 1.3 only, after the handshake.
    session: (native, bytes) => native.data.backendSession!.issued(bytes, true),
  };
  handlersOfContexts.set(context, made);
  return made;
}

function handshakeDone(
  context: ClientContext,
  native: NativeSocket,
  ok: boolean,
  error: NativeError | undefined,
): void {
  const stream = native.data;
  const session = stream.backendSession!;
  const found = handshakeFailure(ok, error, native) ??
    context.checkBackend(native, error, stream.remote);
  if (typeof found === "object") {
    session.failed();
    stream.failure = found;
    return native.close();
  }
  const isResumed = native.isSessionReused();
  session.accepted(isResumed, found);
  if (!isResumed && native.getTLSVersion() !== "TLSv1.3") {
    const bytes = native.getSession();
    if (bytes) session.issued(bytes, false);
  }
  stream.connected();
}

/** Returns a backend stream whose connect failed at once. */
function failedStream(handler: StreamHandler, backend: Endpoint, errno: number): Stream {
  const stream = new BunStream(undefined, false, sockaddrOf(backend));
  stream.handler = handler;
  const code = getSystemErrorName(-errno);
  stream.failure = { code, message: `connect ${code}` };
  queueMicrotask(() => stream.closed(undefined));
  return stream;
}

/** If the bind fails (the address is gone since the start), the system chooses. */
function bindTo(fd: number, source: IpEndpoint): void {
  setOption(libc, fd, { level: IPPROTO_IP, option: IP_BIND_ADDRESS_NO_PORT, value: 1 });
  const address = sockaddrOf(source);
  libc.bind(fd, address, address.length);
}
