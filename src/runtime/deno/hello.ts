/** Delays handshakes until their ClientHellos are complete, and sees what else came instead. */
import { EAGAIN, MSG_DONTWAIT, MSG_PEEK, SO_RCVLOWAT, SOL_SOCKET } from "../../os/constants.ts";
import { queueLength } from "../../os/listen_queue.ts";
import { setOption } from "../../os/socket_options.ts";
import { MAX_HELLO, readHello } from "../client_hello.ts";
import { MAX_RECEIVED } from "../failure.ts";
import { HANDSHAKE_RECORD } from "../tls_fault.ts";
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
const HELLO_LOW_WATER = {
  name: "SO_RCVLOWAT",
  level: SOL_SOCKET,
  option: SO_RCVLOWAT,
  value: MAX_HELLO,
};

/** A stream that a {@link HelloHold} may hold. */
export interface HeldStream extends HiddenSocket {
  readonly isOpening: boolean;
  /** Its listener's. */
  hold: HelloHold | undefined;
  /** The first bytes of a client that does not begin with a handshake. */
  foreign: Uint8Array | undefined;
  /** Something has arrived. */
  hasReceived: boolean;
}

/** Connections that are held at the start, and after a client that sent something other than TLS. */
const WATCHED = 64;
/** Connections that Deno may have accepted before the mark was removed. */
const MARGIN = 16;

/**
 * Decides which connections of one listener are held. With a resolver all are. Without one it costs a
 * few system calls, and rustls reports no bytes, so only the first connections are, and those after a
 * client that sent something other than TLS: its protocol can be named then.
 */
export class HelloHold {
  private readonly holdsAll: boolean;
  private fd = -1;
  /** Connections that will have the mark. */
  private watched = WATCHED;
  /** Connections that may still have it. */
  private leftOver = 0;

  constructor(holdsAll: boolean) {
    this.holdsAll = holdsAll;
  }

  /** Marks the listening socket; false if that fails. */
  start(fd: number): boolean {
    this.fd = fd;
    return setOption(libc, fd, HELLO_LOW_WATER);
  }

  /** Called before the listening socket is closed, whose number another may get. */
  stop(): void {
    this.fd = -1;
  }

  /** Called for each accepted connection, at once. */
  accepted(stream: HeldStream): void {
    stream.hold = this;
    if (this.holdsAll) return watch.add(stream);
    if (this.watched > 0) {
      watch.add(stream);
      if (--this.watched === 0) this.pause();
    } else if (this.leftOver > 0) {
      this.leftOver--;
      watch.add(stream);
    }
  }

  /** A client has sent something other than TLS. */
  renew(): void {
    if (!this.holdsAll && this.watched === 0 && !setOption(libc, this.fd, HELLO_LOW_WATER)) return;
    this.watched = WATCHED;
  }

  private pause(): void {
    setOption(libc, this.fd, { ...HELLO_LOW_WATER, value: 1 });
    // What waits in the queue has inherited the mark.
    this.leftOver = queueLength(libc, this.fd) + MARGIN;
  }
}

const watch = new HelloWatch<HeldStream>(release);

const helloBuffer = new Uint8Array(HELLO_LOW_WATER.value);

function release(stream: HeldStream): boolean {
  if (!stream.isOpening || !descriptors.find(stream)) return true;
  const size = helloBuffer.length;
  const length = libc.recv(stream.fd, helloBuffer, size, MSG_PEEK | MSG_DONTWAIT);
  // Any other result is the connection's end, which Deno handles.
  if (length <= 0) return length === 0 || libc.errno() !== EAGAIN;
  stream.hasReceived = true;
  const bytes = helloBuffer.subarray(0, length);
  if (length < size && readHello(bytes) === "incomplete") return false;
  if (bytes[0] !== HANDSHAKE_RECORD) stream.foreign = bytes.slice(0, MAX_RECEIVED);
  // The descriptor may be another stream's by now; the peek did no harm.
  descriptors.with(stream, (fd) => setOption(libc, fd, { ...HELLO_LOW_WATER, value: 1 }));
  return true;
}
