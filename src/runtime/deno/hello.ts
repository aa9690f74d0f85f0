/** Delays a handshake until its ClientHello is complete. */
import { EAGAIN, MSG_DONTWAIT, MSG_PEEK, SO_RCVLOWAT, SOL_SOCKET } from "../../os/constants.ts";
import { setOption } from "../../os/socket_options.ts";
import { isWholeHello } from "../client_hello.ts";
import { libc } from "./api.ts";
import { descriptors, type Hidden } from "./descriptors.ts";
import { HelloWatch } from "./hello_watch.ts";

/**
 * With a resolver Deno fails a handshake with EWOULDBLOCK when the ClientHello comes in more than
 * one piece, as large ones with post-quantum keys do: it waits for the first piece only (2.9.6).
 * So accepted sockets inherit a low-water mark that keeps them from being readable, and lose it when
 * the whole ClientHello has arrived. FIN and RST pass the mark. Below the mark the kernel notifies
 * nobody, by epoll or O_ASYNC either, so the receive queue must be polled.
 */
export const HOLD = { name: "SO_RCVLOWAT", level: SOL_SOCKET, option: SO_RCVLOWAT, value: 16_384 };

type Held = Hidden & { readonly isOpening: boolean };

const watch = new HelloWatch<Held>(release);

/** Polls until the ClientHello is complete, or the handshake has ended without it. */
export function releaseHello(stream: Held): void {
  watch.add(stream);
}

const helloBuffer = new Uint8Array(HOLD.value);

function release(stream: Held): boolean {
  if (!stream.isOpening || !descriptors.find(stream)) return true;
  const size = helloBuffer.length;
  const length = libc.recv(stream.fd, helloBuffer, size, MSG_PEEK | MSG_DONTWAIT);
  // Any other result is the end of the connection, which Deno handles.
  if (length <= 0) return length === 0 || libc.errno() !== EAGAIN;
  if (length < size && !isWholeHello(helloBuffer.subarray(0, length))) return false;
  // The descriptor may be another stream's by now, which a peek does not harm.
  descriptors.with(stream, (fd) => setOption(libc, fd, { ...HOLD, value: 1 }));
  return true;
}
