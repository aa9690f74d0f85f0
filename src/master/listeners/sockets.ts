/** Single sockets: opened, tried and refused with the reason in words. */
import { lstatSync, unlinkSync } from "node:fs";
import process from "node:process";
import { getSystemErrorName } from "node:util";
import { UsageError } from "../../base/errors.ts";
import { ipFamily } from "../../os/ip.ts";
import { formatEndpoint } from "../../options/address.ts";
import { setOption } from "../../os/socket_options.ts";
import { familyOf } from "../../os/sockaddr.ts";
import { sockaddr } from "../../os/sockaddr.ts";
import { seconds } from "../../os/structures.ts";
import { cInt } from "../../os/structures.ts";
import { IPV6_V6ONLY } from "../../os/constants.ts";
import { IPPROTO_IPV6 } from "../../os/constants.ts";
import { SO_SNDTIMEO } from "../../os/constants.ts";
import { SO_REUSEPORT } from "../../os/constants.ts";
import { SO_REUSEADDR } from "../../os/constants.ts";
import { SOL_SOCKET } from "../../os/constants.ts";
import { SOCK_CLOEXEC } from "../../os/constants.ts";
import { SOCK_STREAM } from "../../os/constants.ts";
import { AF_UNIX } from "../../os/constants.ts";
import { addressRemedy } from "../../system/address_remedy.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { UnixEndpoint } from "../../os/endpoint.ts";
import type { IpEndpoint } from "../../os/endpoint.ts";
import { errorText } from "../../os/error_text.ts";

/** How an address is bound. */
export interface BindOptions {
  /** SO_REUSEPORT, so that several sockets of ours have one address. */
  readonly shared: boolean;
  /** An IPv6 wildcard also takes IPv4. */
  readonly dualStack: boolean;
}

/**
 * Throws a UsageError when the address cannot be had. SO_REUSEPORT would let a second stud join
 * the first without a word, so this asks once without it.
 */
export function assertFree(libc: Libc, endpoint: IpEndpoint, dualStack: boolean): void {
  libc.close(openBound(libc, endpoint, { shared: false, dualStack }));
}

/**
 * The address is taken, but whoever has it accepts nothing any more: the workers of a master that was
 * killed are giving it up.
 */
export function isBeingLeft(libc: Libc, endpoint: IpEndpoint, dualStack: boolean): boolean {
  const bound = tryBind(libc, endpoint, { shared: false, dualStack }, endpoint.port);
  if (typeof bound === "string") return bound === "EADDRINUSE" && isRefused(libc, endpoint);
  libc.close(bound);
  return false;
}

/** Throws a UsageError when the address is not this machine's, whether its port is free or not. */
export function assertLocal(libc: Libc, endpoint: IpEndpoint, dualStack: boolean): void {
  libc.close(openBound(libc, endpoint, { shared: false, dualStack }, 0));
}

/** A bound TCP descriptor, not yet listening. Throws a UsageError. `port` stands for another port. */
export function openBound(
  libc: Libc,
  endpoint: IpEndpoint,
  options: BindOptions,
  port: number = endpoint.port,
): number {
  const bound = tryBind(libc, endpoint, options, port);
  return typeof bound === "string" ? refuse(endpoint, bound) : bound;
}

/** The descriptor, or the errno's name when the address cannot be had. */
function tryBind(
  libc: Libc,
  endpoint: IpEndpoint,
  options: BindOptions,
  port: number,
): number | string {
  const fd = libc.socket(familyOf(endpoint), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return lastError(libc);
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEADDR, value: 1 });
  if (options.shared) setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 });
  if (endpoint.family === 6) {
    // Whatever net.ipv6.bindv6only says.
    const v6Only = cInt(options.dualStack ? 0 : 1);
    libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6Only, v6Only.length);
  }
  const code = bindTo(libc, fd, sockaddr({ ...endpoint, port }));
  if (code === undefined) return fd;
  libc.close(fd);
  return code;
}

/**
 * A bound Unix descriptor, not yet listening. A socket file that nobody listens at any more is
 * replaced. Everybody may connect who may enter its directory. Throws a UsageError.
 */
export function openUnix(libc: Libc, endpoint: UnixEndpoint): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) refuse(endpoint, lastError(libc));
  const address = sockaddr(endpoint);
  try {
    let code = bindForAll(libc, fd, address);
    if (code === "EADDRINUSE" && isDeadSocket(libc, endpoint)) {
      removeDeadSocket(endpoint);
      code = bindForAll(libc, fd, address);
    }
    return code === undefined ? fd : refuse(endpoint, code);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Makes the socket listen, or listen with another backlog. Throws a UsageError. */
export function listenAt(libc: Libc, fd: number, endpoint: Endpoint, backlog: number): void {
  if (libc.listen(fd, backlog) !== 0) refuse(endpoint, lastError(libc));
}

/**
 * The endpoint from which the backend will be connected. Throws a UsageError when it cannot be:
 * better now than at each connection.
 */
export function checkSource(libc: Libc, address: string, backend: Endpoint): IpEndpoint {
  const source: IpEndpoint = { family: ipFamily(address) === 4 ? 4 : 6, address, port: 0 };
  if (source.family !== backend.family) {
    const remedy = backend.family === "unix"
      ? "leave it out"
      : `give an IPv${backend.family} address`;
    throw new UsageError(
      `--backend-source: ${address} cannot reach ${formatEndpoint(backend)}; ${remedy}`,
    );
  }
  const fd = libc.socket(familyOf(source), SOCK_STREAM | SOCK_CLOEXEC, 0);
  const code = bindTo(libc, fd, sockaddr(source));
  libc.close(fd);
  if (code !== undefined) {
    throw new UsageError(`--backend-source: ${address}: ${addressRemedy(code)}`);
  }
  return source;
}

/**
 * Binds a Unix socket whose file has mode 0666, from its beginning. A chmod afterwards would follow
 * a symbolic link that somebody has put in the place of the file.
 */
function bindForAll(libc: Libc, fd: number, address: Uint8Array): string | undefined {
  // The kernel makes the file with 0777 less these bits (unix(7)).
  const umask = process.umask(0o111);
  try {
    return bindTo(libc, fd, address);
  } finally {
    process.umask(umask);
  }
}

/** A socket file where a connect is refused. */
function isDeadSocket(libc: Libc, endpoint: UnixEndpoint): boolean {
  if (endpoint.path.startsWith("@")) return false;
  try {
    if (!lstatSync(endpoint.path, { throwIfNoEntry: false })?.isSocket()) return false;
  } catch {
    // What the bind said of it counts.
    return false;
  }
  return isRefused(libc, endpoint);
}

function removeDeadSocket(endpoint: UnixEndpoint): void {
  try {
    unlinkSync(endpoint.path);
  } catch (error) {
    throw refusal(
      endpoint,
      `a program that has ended left its socket there, which cannot be removed (${
        errorText(error)
      }); remove it or choose another path`,
    );
  }
}

/** A full queue answers nothing: after a second that counts as somebody who listens. */
function isRefused(libc: Libc, endpoint: Endpoint): boolean {
  const fd = libc.socket(familyOf(endpoint), SOCK_STREAM | SOCK_CLOEXEC, 0);
  const limit = seconds(1);
  libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, limit.length);
  const address = sockaddr(endpoint);
  const isRefused = libc.connect(fd, address, address.length) !== 0 &&
    lastError(libc) === "ECONNREFUSED";
  libc.close(fd);
  return isRefused;
}

function refuse(endpoint: Endpoint, code: string): never {
  throw refusal(endpoint, endpoint.family === "unix" ? unixRemedy(code) : addressRemedy(code));
}

function refusal(endpoint: Endpoint, reason: string): UsageError {
  return new UsageError(`--frontend: cannot listen on ${formatEndpoint(endpoint)}: ${reason}`);
}

/** The errno's name when the address cannot be had. */
function bindTo(libc: Libc, fd: number, address: Uint8Array): string | undefined {
  return libc.bind(fd, address, address.length) === 0 ? undefined : lastError(libc);
}

function lastError(libc: Libc): string {
  return getSystemErrorName(-libc.errno());
}

function unixRemedy(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "it is in use by another program, or no socket; stop that one or choose another path";
    case "ENOENT":
      return "its directory does not exist; make it";
    case "EACCES":
      return "its directory may not be written; give this user the right to write there";
    default:
      return `${code}; choose another path`;
  }
}
