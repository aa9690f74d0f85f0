/** Socket options, and those of listening sockets. */
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_FASTOPEN,
  TCP_KEEPIDLE,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cInt } from "./structures.ts";

/** One `setsockopt` with an int value; accepted sockets inherit it from the listening one. */
export interface SocketOption {
  readonly name: string;
  readonly level: number;
  readonly option: number;
  readonly value: number;
}

/** The settings of a listening socket. */
export interface ListenerSettings {
  /** Idle time before TCP keepalive probes, in seconds; 0: the kernel's default. */
  readonly keepalive: number;
  /** Seconds that data may stay unacknowledged or blocked by the window; 0: the system's limit. */
  readonly tcpUserTimeout: number;
  readonly tcpFastopen: boolean;
  /** Bytes; 0 means the system's default. */
  readonly recvBufsize: number;
  readonly sendBufsize: number;
  readonly backlog: number;
}

/** Of the kernel (tcp(7), tcp_keepalive_time), which does not accept 0; in seconds. */
const KEEPALIVE_DEFAULT = 7200;

/** Returns the options that accepted sockets inherit, so that they need no calls of their own. */
export function listenerOptions(settings: ListenerSettings): SocketOption[] {
  const { keepalive, tcpUserTimeout, tcpFastopen, recvBufsize, sendBufsize, backlog } = settings;
  const options: SocketOption[] = [
    { name: "SO_KEEPALIVE", level: SOL_SOCKET, option: SO_KEEPALIVE, value: 1 },
    {
      name: "TCP_KEEPIDLE",
      level: IPPROTO_TCP,
      option: TCP_KEEPIDLE,
      value: keepalive || KEEPALIVE_DEFAULT,
    },
    {
      name: "TCP_USER_TIMEOUT",
      level: IPPROTO_TCP,
      option: TCP_USER_TIMEOUT,
      value: Math.ceil(tcpUserTimeout * 1000),
    },
    { name: "TCP_NODELAY", level: IPPROTO_TCP, option: TCP_NODELAY, value: 1 },
  ];
  if (tcpFastopen) {
    // The value is the maximum number of connections that have not finished the TCP handshake.
    options.push({
      name: "TCP_FASTOPEN",
      level: IPPROTO_TCP,
      option: TCP_FASTOPEN,
      value: backlog,
    });
  }
  if (recvBufsize > 0) {
    options.push({ name: "SO_RCVBUF", level: SOL_SOCKET, option: SO_RCVBUF, value: recvBufsize });
  }
  if (sendBufsize > 0) {
    options.push({ name: "SO_SNDBUF", level: SOL_SOCKET, option: SO_SNDBUF, value: sendBufsize });
  }
  return options;
}

/** Sets an int option. Returns false if the kernel refused it. */
export function setOption(libc: Libc, fd: number, option: Omit<SocketOption, "name">): boolean {
  return libc.setsockopt(fd, option.level, option.option, cInt(option.value), 4) === 0;
}
