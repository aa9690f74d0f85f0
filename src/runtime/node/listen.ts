import { nobody } from "../nobody.ts";
import type { Listener, ListenOptions, UnixEndpoint } from "../types.ts";
import { errnoFailure, internalFailure } from "./failure.ts";
import { type HandleAddress, handles, type SocketHandle, type TcpHandle } from "./handles.ts";
import type { ServerTls } from "./server_tls.ts";
import { ipEndpoint, NodeStream, type Security } from "./stream.ts";

/**
 * Accepts on an inherited descriptor. Throws an Error with the errno's name as `code` when it is
 * no listening socket. Without descriptors to spare libuv closes new connections by itself, so
 * `failed` does not hear of EMFILE.
 */
export function listen(
  { on, backlog, tls, headerFirst, accepted, failed }: ListenOptions,
): Listener {
  if (!("fd" in on)) throw new Error("the Node.js adapter listens on inherited descriptors");
  const unix = on.endpoint.family === "unix" ? on.endpoint : undefined;
  const { Pipe, TCP, SERVER } = handles!;
  const listening: SocketHandle = unix ? new Pipe(SERVER) : new TCP(SERVER);
  let security: Security = { server: tls as ServerTls | undefined, headerFirst };
  listening.onconnection = (status, socket) => {
    if (status < 0) return failed(errnoFailure(status));
    const stream = acceptedStream(socket, unix, security);
    try {
      stream.owner = accepted(stream);
    } catch (error) {
      stream.owner = nobody;
      stream.reset();
      failed(internalFailure(error));
    }
    if (!security.server && !stream.isClosing) stream.opened();
  };
  const status = listening.open(on.fd) || listening.listen(backlog);
  if (status < 0) {
    listening.close();
    const { code, message } = errnoFailure(status);
    throw Object.assign(new Error(`listen: ${message}`), { code });
  }
  return {
    close() {
      listening.close();
      return Promise.resolve();
    },
    update(next) {
      const server = next as ServerTls;
      if (security.server) server.takeTicketsOf(security.server);
      security = { server, headerFirst };
    },
  };
}

/** Its owner must be set before this turn ends. */
function acceptedStream(
  socket: SocketHandle,
  unix: UnixEndpoint | undefined,
  security: Security,
): NodeStream {
  const peer: HandleAddress = {};
  if (!unix) (socket as TcpHandle).getpeername(peer);
  const remote = unix ? NAMELESS : ipEndpoint(peer);
  const stream = new NodeStream(socket, remote, unix, security);
  if (security.server) socket.readStart();
  return stream;
}

const NAMELESS: UnixEndpoint = { family: "unix", path: "" };
