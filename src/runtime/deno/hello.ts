/** Delays a handshake until its ClientHello is complete. */
import { EAGAIN, MSG_DONTWAIT, MSG_PEEK, SO_RCVLOWAT, SOL_SOCKET } from "../../os/constants.ts";
import { setOption } from "../../os/socket_options.ts";
import { MAX_HELLO, readHello } from "../client_hello.ts";
import { libc } from "./api.ts";
import { descriptors, type HiddenSocket } from "./descriptors.ts";
import { HelloWatch } from "./hello_watch.ts";

/**
 * With a resolver, Deno fails a handshake with EWOULDBLOCK if the ClientHello arrives in more than one
 * segment, as large ones with post-quantum keys do: it waits for the first segment only (2.9.6).
 * So accepted sockets inherit a low-water mark that keeps them unreadable, which is removed when the
 * whole ClientHello has arrived. FIN and RST are reported regardless. Below the mark the kernel
 * notifies nobody, neither by epoll nor by O_ASYNC, so the receive queue must be polled.
 */
export const HELLO_LOW_WATER = {
  name: "SO_RCVLOWAT",
  level: SOL_SOCKET,
  option: SO_RCVLOWAT,
  value: MAX_HELLO,
};

type HeldStream = HiddenSocket & { readonly isOpening: boolean };

const watch = new HelloWatch<HeldStream>(release);

/** Polls until the ClientHello is complete, or the handshake has ended without it. */
export function releaseHello(stream: HeldStream): void {
  watch.add(stream);
}

const helloBuffer = new Uint8Array(HELLO_LOW_WATER.value);

function release(stream: HeldStream): boolean {
  if (!stream.isOpening || !descriptors.find(stream)) return true;
  const size = helloBuffer.length;
  const length = libc.recv(stream.fd, helloBuffer, size, MSG_PEEK | MSG_DONTWAIT);
  // Any other result is the connection's end, which Deno handles.
  if (length <= 0) return length === 0 || libc.errno() !== EAGAIN;
  if (length < size && readHello(helloBuffer.subarray(0, length)) === "incomplete") return false;
  // The descriptor may be another stream's by now; the peek did no harm.
  descriptors.with(stream, (fd) => setOption(libc, fd, { ...HELLO_LOW_WATER, value: 1 }));
  return true;
}
