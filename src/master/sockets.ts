/**
 * The listening sockets. The master opens one SO_REUSEPORT socket for each address and worker slot
 * and keeps it open for its whole life: the kernel spreads new connections over them, and a
 * worker that dies leaves its queue to its successor.
 */
import { getSystemErrorName } from "node:util";
import { UsageError } from "../errors.ts";
import { ipFamily } from "../ip.ts";
import { formatEndpoint } from "../options/address.ts";
import {
  AF_INET,
  AF_INET6,
  cInt,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  listenerOptions,
  setOption,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sockaddr,
  SOL_SOCKET,
} from "../platform.ts";
import type { IpEndpoint, Libc } from "../runtime/types.ts";

/**
 * Throws a UsageError when the address cannot be had. SO_REUSEPORT would let a second stud join
 * the first without a word, so this asks once without it.
 */
export function assertFree(libc: Libc, endpoint: IpEndpoint): void {
  libc.close(openBound(libc, endpoint, false));
}

/** One listening descriptor for each of `slots` workers. Throws a UsageError as above. */
export function openListeners(
  libc: Libc,
  endpoint: IpEndpoint,
  slots: number,
  settings: { readonly backlog: number; readonly keepalive: number },
): number[] {
  assertFree(libc, endpoint);
  return Array.from({ length: slots }, () => {
    const fd = openBound(libc, endpoint, true);
    for (const option of listenerOptions(settings.keepalive)) setOption(libc, fd, option);
    if (libc.listen(fd, settings.backlog) !== 0) refuse(libc, endpoint);
    return fd;
  });
}

/**
 * The endpoint from which the backend will be connected. Throws a UsageError when it cannot be:
 * better now than at each connection.
 */
export function checkSource(libc: Libc, address: string, backend: IpEndpoint): IpEndpoint {
  const source: IpEndpoint = { family: ipFamily(address) === 4 ? 4 : 6, address, port: 0 };
  if (source.family !== backend.family) {
    throw new UsageError(
      `--backend-source: ${address} cannot reach ${formatEndpoint(backend)}; ` +
        `give an IPv${backend.family} address`,
    );
  }
  const fd = libc.socket(source.family === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bytes = sockaddr(source);
  const isBound = libc.bind(fd, bytes, bytes.length) === 0;
  const reason = isBound ? "" : remedy(getSystemErrorName(-libc.errno()));
  libc.close(fd);
  if (!isBound) throw new UsageError(`--backend-source: ${address}: ${reason}`);
  return source;
}

function openBound(libc: Libc, endpoint: IpEndpoint, shared: boolean): number {
  const family = endpoint.family === 4 ? AF_INET : AF_INET6;
  const fd = libc.socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) refuse(libc, endpoint);
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEADDR, value: 1 });
  if (shared) setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 });
  // `*` is one dual-stack socket, whatever net.ipv6.bindv6only says.
  if (endpoint.family === 6) libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, cInt(0), 4);
  const address = sockaddr(endpoint);
  if (libc.bind(fd, address, address.length) !== 0) refuse(libc, endpoint, fd);
  return fd;
}

function refuse(libc: Libc, endpoint: IpEndpoint, fd?: number): never {
  const code = getSystemErrorName(-libc.errno());
  if (fd !== undefined) libc.close(fd);
  throw new UsageError(`--frontend: cannot listen on ${formatEndpoint(endpoint)}: ${remedy(code)}`);
}

function remedy(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use by another program; stop that one or choose another port";
    case "EACCES":
      return "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE";
    case "EADDRNOTAVAIL":
      return "it is not an address of this machine; see them with: ip address";
    case "EAFNOSUPPORT":
      return "this system has no IPv6; give an IPv4 address";
    default:
      return `${code}; choose another address`;
  }
}
