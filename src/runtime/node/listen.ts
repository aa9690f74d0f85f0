import { raise } from "../../base/raise.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import type { Listener, ListenOptions } from "../listener.ts";
import type { UnixEndpoint } from "../../os/endpoint.ts";
import { errnoFailure } from "./failure.ts";
import { type HandleAddress, handles, type SocketHandle, type TcpHandle } from "./handles.ts";
import { libc } from "./libc.ts";
import type { ServerTls } from "./server_tls.ts";
import { ipEndpoint, NodeStream, type StreamMode } from "./stream.ts";

/**
 * As in {@link Runtime}: accepts on an inherited descriptor. Without spare descriptors libuv itself
 * closes new connections, so `failed` does not get EMFILE.
 */
export function listen(
  { on, backlog, tls, headerFirst, accepted, failed }: ListenOptions,
): Listener {
  if (!("fd" in on)) throw new Error("the Node.js adapter listens on inherited descriptors");
  const unix = on.endpoint.family === "unix" ? on.endpoint : undefined;
  const { Pipe, TCP, SERVER } = handles;
  let mode: StreamMode = { server: tls as ServerTls | undefined, headerFirst };
  const onconnection: SocketHandle["onconnection"] = (status, socket) => {
    if (status < 0) return failed(errnoFailure(status));
    const stream = acceptedStream(socket, unix, mode);
    try {
      stream.handler = accepted(stream);
    } catch (error) {
      stream.handler = ignoringHandler;
      stream.reset();
      raise(error);
    }
    if (!mode.server && !stream.isClosing) stream.opened();
  };
  const acceptOn = (fd: number): SocketHandle => {
    const handle: SocketHandle = unix ? new Pipe(SERVER) : new TCP(SERVER);
    handle.onconnection = onconnection;
    const status = handle.open(fd) || handle.listen(backlog);
    if (status >= 0) return handle;
    handle.close();
    const { code, message } = errnoFailure(status);
    throw Object.assign(new Error(`listen: ${message}`), { code });
  };
  let listening: SocketHandle | undefined = acceptOn(on.fd);
  /** The socket while it is paused: libuv has no pause, so the handle is closed and the socket kept. */
  let kept = -1;
  return {
    close() {
      if (kept >= 0) libc.close(kept);
      kept = -1;
      listening?.close();
      listening = undefined;
      return Promise.resolve();
    },
    pause() {
      if (!listening) return;
      kept = libc.dup(listening.fd);
      // Without a spare descriptor it continues to accept.
      if (kept < 0) return;
      listening.close();
      listening = undefined;
    },
    resume() {
      if (kept < 0) return;
      listening = acceptOn(kept);
      kept = -1;
    },
    update(next) {
      mode = { server: next as ServerTls, headerFirst };
    },
  };
}

/** Returns a stream whose handler must be set in this turn. */
function acceptedStream(
  socket: SocketHandle,
  unix: UnixEndpoint | undefined,
  mode: StreamMode,
): NodeStream {
  const peer: HandleAddress = {};
  if (!unix) (socket as TcpHandle).getpeername(peer);
  const remote = unix ? NAMELESS : ipEndpoint(peer);
  const stream = new NodeStream(socket, remote, unix, mode);
  if (mode.server) socket.readStart();
  return stream;
}

const NAMELESS: UnixEndpoint = { family: "unix", path: "" };
