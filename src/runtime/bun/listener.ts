import type { Listener } from "../listener.ts";
import type { ListenOptions } from "../listener.ts";
import type { ServerContext } from "./contexts.ts";
import { CLOSED_BEFORE_HANDSHAKE, Frontend } from "./frontend.ts";
import { libc, socketName } from "./libc.ts";
import { bun, type NativeHandlers, type NativeSocket } from "./native.ts";
import { Poll } from "./poll.ts";
import { BunStream, streamHandlers } from "./stream.ts";

/** As in {@link Runtime}: accepts on an inherited descriptor, of TCP or of a Unix socket. */
export function listen(options: ListenOptions): Listener {
  if (!("fd" in options.on)) throw new Error("the Bun adapter listens on inherited descriptors");
  const { fd } = options.on;
  const frontend = options.tls && new Frontend(options.tls as ServerContext);
  const listener = bun.listen({
    fd,
    allowHalfOpen: true,
    ...(frontend && !options.headerFirst ? { tls: frontend.tls } : {}),
    socket: !frontend
      ? plainHandlers(options)
      : options.headerFirst
      ? headerHandlers(options, frontend)
      : tlsHandlers(options, frontend),
  });
  // Bun itself calls listen(fd, 511) and has no option for the backlog.
  libc.listen(fd, options.backlog);
  const poll = new Poll(fd);
  return {
    close() {
      poll.end();
      listener.stop(false);
      return Promise.resolve();
    },
    pause: () => poll.pause(),
    resume: () => poll.resume(),
    update: (tls) => frontend?.update(tls as ServerContext),
  };
}

/** TLS from the first byte. */
function tlsHandlers({ accepted }: ListenOptions, frontend: Frontend): NativeHandlers {
  return {
    ...frontend.handlers,
    open(native) {
      const stream = acceptedStream(native, true);
      frontend.begin(stream, native);
      assignHandler(stream, accepted);
    },
  };
}

/** Without TLS. */
function plainHandlers({ accepted }: ListenOptions): NativeHandlers {
  return {
    ...streamHandlers,
    open(native) {
      const stream = acceptedStream(native, false);
      assignHandler(stream, accepted);
      if (stream.native) stream.opened();
    },
  };
}

/**
 * Plain until `startTls`. After that the plain socket, which is no longer the stream's, still gets
 * copies of what the client sends, and its own `end` and `close`.
 */
function headerHandlers({ accepted }: ListenOptions, frontend: Frontend): NativeHandlers {
  return {
    open(native) {
      const stream = acceptedStream(native, false);
      stream.tlsStarter = frontend;
      assignHandler(stream, accepted);
    },
    data(native, bytes) {
      if (isCurrent(native)) streamHandlers.data(native, bytes);
      else native.data.receivedEncrypted(bytes);
    },
    drain() {},
    end(native) {
      if (!isCurrent(native)) return;
      native.data.failure = CLOSED_BEFORE_HANDSHAKE;
      native.close();
    },
    close(native, error) {
      if (isCurrent(native)) streamHandlers.close(native, error);
    },
    error: streamHandlers.error,
  };
}

function assignHandler(stream: BunStream, accepted: ListenOptions["accepted"]): void {
  stream.defersClosed = true;
  try {
    stream.handler = accepted(stream);
  } catch (error) {
    stream.coreThrew(error);
  }
  stream.defersClosed = false;
}

function isCurrent(native: NativeSocket): boolean {
  return native.data.native === native;
}

function acceptedStream(native: NativeSocket, isTls: boolean): BunStream {
  return native.data = new BunStream(native, isTls, socketName(libc.getpeername, native.fd));
}
