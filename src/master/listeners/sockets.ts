/** Opens and tests single sockets; errors say what to do. */
import { lstatSync, type Stats, unlinkSync } from "node:fs";
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
import { IP_BIND_ADDRESS_NO_PORT } from "../../os/constants.ts";
import { IPPROTO_IP } from "../../os/constants.ts";
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
import { errorNameText, errorText } from "../../base/error_text.ts";

/** How an address is bound. */
export interface BindOptions {
  /** With SO_REUSEPORT, so that several sockets can have one address. */
  readonly shared: boolean;
  /** An IPv6 wildcard also accepts IPv4. */
  readonly dualStack: boolean;
}

/** What sockets are opened for. */
export interface SocketPurpose {
  /** The option that named the address, for errors. */
  readonly option: string;
  /** The mode of a Unix socket's file. */
  readonly mode: number;
  /** A reload opens a Unix socket again whose file was removed or replaced. */
  readonly reopens?: true;
}

/** Every user who can enter the directory can connect. */
export const FOR_CLIENTS: SocketPurpose = { option: "--frontend", mode: 0o666 };

/**
 * Throws a UsageError if the address is not free. Binds without SO_REUSEPORT, which would let a
 * second stud share the address unnoticed.
 */
export function assertFree(
  libc: Libc,
  endpoint: IpEndpoint,
  dualStack: boolean,
  purpose = FOR_CLIENTS,
): void {
  libc.close(openBound(libc, endpoint, { shared: false, dualStack }, purpose));
}

/**
 * Whether the address is in use but refuses connections: the workers of a master that was killed
 * are about to close it.
 */
export function isBeingReleased(libc: Libc, endpoint: IpEndpoint, dualStack: boolean): boolean {
  const bound = tryBind(libc, endpoint, { shared: false, dualStack });
  if (typeof bound === "string") return bound === "EADDRINUSE" && isRefused(libc, endpoint);
  libc.close(bound);
  return false;
}

/** Throws a UsageError if the address is not this machine's, whether or not its port is free. */
export function assertLocal(libc: Libc, endpoint: IpEndpoint): void {
  const code = localFault(libc, endpoint);
  if (code !== undefined) refuse(endpoint, code, FOR_CLIENTS);
}

/** Returns undefined for an address of this machine, else the name of the errno. Uses no port. */
export function localFault(libc: Libc, endpoint: IpEndpoint): string | undefined {
  const fd = libc.socket(familyOf(endpoint), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return lastError(libc);
  // Without it the bind would need a free port, and a busy backend may have taken all of them.
  setOption(libc, fd, { level: IPPROTO_IP, option: IP_BIND_ADDRESS_NO_PORT, value: 1 });
  const code = bindTo(libc, fd, sockaddr({ ...endpoint, port: 0 }));
  libc.close(fd);
  return code;
}

/** Returns a bound TCP socket that does not listen yet. Throws a UsageError. */
export function openBound(
  libc: Libc,
  endpoint: IpEndpoint,
  options: BindOptions,
  purpose = FOR_CLIENTS,
): number {
  const bound = tryBind(libc, endpoint, options);
  return typeof bound === "string" ? refuse(endpoint, bound, purpose) : bound;
}

/** Returns the descriptor, or the name of the errno, such as `EADDRINUSE`. */
function tryBind(libc: Libc, endpoint: IpEndpoint, options: BindOptions): number | string {
  const fd = libc.socket(familyOf(endpoint), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return lastError(libc);
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEADDR, value: 1 });
  if (options.shared) setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEPORT, value: 1 });
  if (endpoint.family === 6) {
    // Overrides net.ipv6.bindv6only.
    const v6Only = cInt(options.dualStack ? 0 : 1);
    libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6Only, v6Only.length);
  }
  const code = bindTo(libc, fd, sockaddr(endpoint));
  if (code === undefined) return fd;
  libc.close(fd);
  return code;
}

/**
 * Returns a bound Unix socket that does not listen yet. Replaces a socket file on which no process
 * listens. Throws a UsageError.
 */
export function openUnix(libc: Libc, endpoint: UnixEndpoint, purpose = FOR_CLIENTS): number {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) refuse(endpoint, lastError(libc), purpose);
  const address = sockaddr(endpoint);
  try {
    let code = bindWithMode(libc, fd, address, purpose.mode);
    if (code === "EADDRINUSE" && isDeadSocket(libc, endpoint)) {
      removeDeadSocket(endpoint, purpose);
      code = bindWithMode(libc, fd, address, purpose.mode);
    }
    return code === undefined ? fd : refuse(endpoint, code, purpose);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Makes the socket listen, or changes its backlog. Throws a UsageError. */
export function listenAt(
  libc: Libc,
  fd: number,
  endpoint: Endpoint,
  backlog: number,
  purpose = FOR_CLIENTS,
): void {
  if (libc.listen(fd, backlog) !== 0) refuse(endpoint, lastError(libc), purpose);
}

/**
 * Returns the endpoint from which to connect to the backend, with port 0. Throws a UsageError if
 * that is impossible, which would otherwise fail at each connection.
 */
export function checkSource(libc: Libc, address: string, backend: Endpoint): IpEndpoint {
  const source: IpEndpoint = { family: ipFamily(address) === 4 ? 4 : 6, address, port: 0 };
  if (source.family !== backend.family) {
    const remedy = backend.family === "unix"
      ? "omit it"
      : `specify an IPv${backend.family} address`;
    throw new UsageError(
      `--backend-source: ${address} cannot reach ${formatEndpoint(backend)}; ${remedy}`,
    );
  }
  const code = localFault(libc, source);
  if (code !== undefined) {
    throw new UsageError(`--backend-source: ${address}: ${addressRemedy(code)}`);
  }
  return source;
}

/**
 * Binds a Unix socket whose file has this mode as soon as it exists. A later chmod would follow a
 * symbolic link with which another user has replaced the file.
 */
function bindWithMode(
  libc: Libc,
  fd: number,
  address: Uint8Array,
  mode: number,
): string | undefined {
  // The kernel creates the file with mode 0777 without these bits (unix(7)).
  const umask = process.umask(0o777 & ~mode);
  try {
    return bindTo(libc, fd, address);
  } finally {
    process.umask(umask);
  }
}

/** Whether the path is a socket file that refuses connections. */
function isDeadSocket(libc: Libc, endpoint: UnixEndpoint): boolean {
  if (endpoint.path.startsWith("@")) return false;
  try {
    if (!lstatSync(endpoint.path, { throwIfNoEntry: false })?.isSocket()) return false;
  } catch {
    // The error of `bind` is reported.
    return false;
  }
  return isRefused(libc, endpoint);
}

function removeDeadSocket(endpoint: UnixEndpoint, purpose: SocketPurpose): void {
  try {
    unlinkSync(endpoint.path);
  } catch (error) {
    throw refusal(
      endpoint,
      purpose,
      `a program that has exited left its socket there, which cannot be removed (${
        errorText(error)
      }); remove it or choose another path`,
    );
  }
}

/** A full queue does not answer; after one second it counts as listening. */
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

function refuse(endpoint: Endpoint, code: string, purpose: SocketPurpose): never {
  throw refusal(
    endpoint,
    purpose,
    endpoint.family === "unix" ? unixRemedy(endpoint, code) : addressRemedy(code),
  );
}

function refusal(endpoint: Endpoint, { option }: SocketPurpose, reason: string): UsageError {
  return new UsageError(`${option}: cannot listen on ${formatEndpoint(endpoint)}: ${reason}`);
}

/** Returns undefined, or the name of the errno if it fails. */
function bindTo(libc: Libc, fd: number, address: Uint8Array): string | undefined {
  return libc.bind(fd, address, address.length) === 0 ? undefined : lastError(libc);
}

function lastError(libc: Libc): string {
  return getSystemErrorName(-libc.errno());
}

function unixRemedy(endpoint: UnixEndpoint, code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return inUse(endpoint);
    case "ENOENT":
      return "its directory does not exist; create it";
    case "EACCES":
      return "its directory is not writable; give this user write permission";
    case "ENOTDIR":
      return "a part of the path is not a directory; check the path";
    default:
      return `${errorNameText(code)}; choose another path`;
  }
}

/** Why the path is in use: by a socket that accepts connections, or by a file of another kind. */
function inUse({ path }: UnixEndpoint): string {
  const stat = path.startsWith("@") ? undefined : lstatSync(path, { throwIfNoEntry: false });
  if (!stat || stat.isSocket()) {
    return "it is in use by another program; stop that program or choose another path";
  }
  if (stat.isDirectory()) return "it is a directory; specify a path in it";
  return `it is ${kindOf(stat)}, not a socket; choose another path`;
}

function kindOf(stat: Stats): string {
  if (stat.isFile()) return "a regular file";
  return stat.isSymbolicLink() ? "a symbolic link" : "a device or a pipe";
}
