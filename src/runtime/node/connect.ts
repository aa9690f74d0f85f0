import { resetOnClose } from "../../os/reset_on_close.ts";
import type { ClientTlsContext } from "../tls.ts";
import type { StreamHandler } from "../stream.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { UnixEndpoint } from "../../os/endpoint.ts";
import type { IpEndpoint } from "../../os/endpoint.ts";
import type { ClientTls } from "./client_tls.ts";
import { errnoFailure } from "./failure.ts";
import { libc } from "./libc.ts";
import { handles, type Request, type TcpHandle } from "./handles.ts";
import { NodeStream, type StreamMode } from "./stream.ts";

/** As in {@link Runtime}; a failed connect has the errno's name as its code. */
export function connect(
  backend: Endpoint,
  handler: StreamHandler,
  source?: IpEndpoint,
  tls?: ClientTlsContext,
): NodeStream {
  const clientTls = tls as ClientTls | undefined;
  return backend.family === "unix"
    ? connectUnix(backend, handler, clientTls)
    : connectTcp(backend, handler, source, clientTls);
}

function connectTcp(
  backend: IpEndpoint,
  handler: StreamHandler,
  source: IpEndpoint | undefined,
  tls: ClientTls | undefined,
): NodeStream {
  const { TCP, TCPConnectWrap, SOCKET } = handles;
  const tcp = new TCP(SOCKET);
  const stream = new NodeStream(
    tcp,
    backend,
    undefined,
    tls ? { client: tls, isToBackend: true } : PLAIN_TCP,
  );
  stream.handler = handler;
  if (source) bindTo(tcp, source);
  const request = connectRequest(TCPConnectWrap, stream);
  const { family, address, port } = backend;
  const status = family === 4
    ? tcp.connect(request, address, port)
    : tcp.connect6(request, address, port);
  if (status < 0) stream.fail(errnoFailure(status));
  else {
    tcp.setNoDelay(true);
    resetOnClose(libc, tcp.fd);
  }
  return stream;
}

function connectUnix(
  backend: UnixEndpoint,
  handler: StreamHandler,
  tls: ClientTls | undefined,
): NodeStream {
  const { Pipe, PipeConnectWrap, SOCKET } = handles;
  const pipe = new Pipe(SOCKET);
  const stream = new NodeStream(pipe, backend, NAMELESS, tls ? { client: tls } : PLAIN);
  stream.handler = handler;
  const status = pipe.connect(
    connectRequest(PipeConnectWrap, stream),
    backend.path.replace(/^@/, "\0"),
  );
  if (status < 0) stream.fail(errnoFailure(status));
  return stream;
}

function connectRequest(Wrap: new () => Request, stream: NodeStream): Request {
  const request = new Wrap();
  request.stream = stream;
  request.oncomplete = onConnected;
  return request;
}

function onConnected(this: Request, status: number): void {
  const { stream } = this;
  if (stream.isClosing) return;
  if (status < 0) stream.fail(errnoFailure(status));
  else stream.connected();
}

/** If the bind fails (the address is gone since the start), the system chooses. */
function bindTo(tcp: TcpHandle, { family, address, port }: IpEndpoint): void {
  if (family === 4) tcp.bind(address, port);
  else tcp.bind6(address, port, 0);
}

const PLAIN: StreamMode = {};
const PLAIN_TCP: StreamMode = { isToBackend: true };
const NAMELESS: UnixEndpoint = { family: "unix", path: "" };
