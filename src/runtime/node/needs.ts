/** Refuses a Node.js that lacks what the adapter uses. Import it before the rest of the adapter. */
import { isBuiltin } from "node:module";
import process from "node:process";
import { createSecureContext } from "node:tls";
import { missingMembers, requireAll } from "../completeness.ts";

type Binding = Readonly<Record<string, { readonly prototype?: unknown } | undefined>>;

/** Methods of every stream. */
const STREAM = ["useUserBuffer", "readStart", "readStop", "writeBuffer", "writev", "shutdown"];
const SOCKET = [...STREAM, "fd", "open", "listen", "close", "connect"];
const TCP = [...SOCKET, "bind", "bind6", "connect6", "setNoDelay", "getsockname", "getpeername"];
const TLS = [
  ...STREAM,
  ...["receive", "start", "destroySSL", "setVerifyMode", "setALPNProtocols", "setServername"],
  ...["enableCertCb", "certCbDone", "setOCSPResponse"],
  ...["enableSessionCallbacks", "clientHelloDone", "loadSession", "newSessionDone", "setSession"],
  ...["getServername", "getProtocol", "getCipher", "getALPNNegotiatedProtocol"],
  ...["isSessionReused", "getX509Certificate", "getPeerX509Certificate", "verifyError"],
];

const tcp = binding("tcp_wrap");
const pipe = binding("pipe_wrap");
const tls = binding("tls_wrap");
const stream = binding("stream_wrap");

requireAll(`Node.js ${process.versions.node}`, "Node.js 26.10", [
  ...(isBuiltin("node:ffi") ? [] : ["node:ffi"]),
  ...missingMembers("tcp_wrap", tcp, ["TCPConnectWrap"]),
  ...missingMembers("tcp_wrap.constants", tcp?.constants, ["SOCKET", "SERVER"]),
  ...missingMembers("TCP", tcp?.TCP?.prototype, TCP),
  ...missingMembers("pipe_wrap", pipe, ["PipeConnectWrap"]),
  ...missingMembers("Pipe", pipe?.Pipe?.prototype, SOCKET),
  ...missingMembers("tls_wrap", tls, ["wrap"]),
  ...missingMembers("TLSWrap", tls?.TLSWrap?.prototype, TLS),
  ...missingMembers("SecureContext", createSecureContext({ ca: [] }).context, [
    "setSessionIdContext",
  ]),
  // Without kLastWriteErr, Node's writes have another form.
  ...missingMembers("stream_wrap", stream, [
    ...["ShutdownWrap", "streamBaseState", "kReadBytesOrError", "kLastWriteErr"],
  ]),
]);

function binding(name: string): Binding | undefined {
  try {
    return (process as unknown as { binding(name: string): Binding }).binding(name);
  } catch {
    return undefined;
  }
}
