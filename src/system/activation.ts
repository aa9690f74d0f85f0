/** Listening sockets that the service manager passes to this process (sd_listen_fds(3)). */
import { UsageError } from "../base/errors.ts";
import { readSockaddr } from "../os/sockaddr.ts";
import { SOCKADDR_SIZE } from "../os/sockaddr.ts";
import { readCInt } from "../os/structures.ts";
import { cInt } from "../os/structures.ts";
import { SO_ACCEPTCONN } from "../os/constants.ts";
import { SOL_SOCKET } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import type { Endpoint } from "../os/endpoint.ts";

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
/** Maximum number of sockets, more than any unit has. */
const MAX_SOCKETS = 1024;

export interface PassedSocket {
  /** FileDescriptorName= of the socket unit; `unknown` if it has none. */
  readonly name: string;
  readonly fd: number;
  /** The address to which it is bound. */
  readonly endpoint: Endpoint;
}

/**
 * Returns the sockets passed to this process, several of which may share a name; none if the
 * variables are missing or meant for another process. Removes the variables, so that no child uses
 * them. Throws a UsageError if one is not a listening TCP or Unix stream socket.
 */
export function activatedSockets(
  libc: Libc,
  environment: Record<string, string | undefined> = process.env,
  pid: number = process.pid,
): PassedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  delete environment.LISTEN_PID;
  delete environment.LISTEN_FDS;
  delete environment.LISTEN_FDNAMES;
  if (LISTEN_PID !== String(pid) || LISTEN_FDS === undefined) return [];
  const count = Number(LISTEN_FDS);
  if (!/^\d+$/.test(LISTEN_FDS) || count > MAX_SOCKETS) {
    throw new UsageError(
      `LISTEN_FDS: ${JSON.stringify(LISTEN_FDS.slice(0, 20))} is not a number from 0 to ` +
        `${MAX_SOCKETS}; only the service manager should set it`,
    );
  }
  const names = LISTEN_FDNAMES?.split(":") ?? [];
  return Array.from({ length: count }, (_, i) => {
    const fd = FIRST_FD + i;
    const name = names[i] || "unknown";
    return { name, fd, endpoint: endpointOf(libc, fd, name) };
  });
}

function endpointOf(libc: Libc, fd: number, name: string): Endpoint {
  const accepts = cInt(0);
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, accepts, cInt(accepts.length));
  const endpoint = result === 0 && readCInt(accepts) === 1 ? boundTo(libc, fd) : undefined;
  if (endpoint) return endpoint;
  throw new UsageError(
    `LISTEN_FDS: descriptor ${fd} (${name}) is not a listening TCP or Unix stream socket; ` +
      "use ListenStream= and Accept=no in the socket unit",
  );
}

function boundTo(libc: Libc, fd: number): Endpoint | undefined {
  const address = new Uint8Array(SOCKADDR_SIZE);
  const length = cInt(address.length);
  if (libc.getsockname(fd, address, length) !== 0) return undefined;
  // An abstract name ends where the address does.
  return readSockaddr(address.subarray(0, readCInt(length)));
}
