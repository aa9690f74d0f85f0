import { getSystemErrorName } from "node:util";
import { UsageError } from "../base/errors.ts";
import { formatEndpoint } from "../options/address.ts";
import { setOption } from "../os/socket_options.ts";
import { familyOf } from "../os/sockaddr.ts";
import { sockaddr } from "../os/sockaddr.ts";
import { membership } from "../os/structures.ts";
import { cInt } from "../os/structures.ts";
import { IPV6_ADD_MEMBERSHIP } from "../os/constants.ts";
import { IPV6_MULTICAST_HOPS } from "../os/constants.ts";
import { IPV6_MULTICAST_IF } from "../os/constants.ts";
import { IPPROTO_IPV6 } from "../os/constants.ts";
import { IP_ADD_MEMBERSHIP } from "../os/constants.ts";
import { IP_MULTICAST_TTL } from "../os/constants.ts";
import { IP_MULTICAST_IF } from "../os/constants.ts";
import { IPPROTO_IP } from "../os/constants.ts";
import { SO_BINDTOIFINDEX } from "../os/constants.ts";
import { SO_REUSEADDR } from "../os/constants.ts";
import { SOL_SOCKET } from "../os/constants.ts";
import { SOCK_CLOEXEC } from "../os/constants.ts";
import { SOCK_DGRAM } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { errnoText } from "../base/error_text.ts";
import { noInterface } from "../system/network_interface.ts";
import { isGroup, type PeersPlan } from "./session_peers_plan.ts";
import { addressRemedy } from "../system/address_remedy.ts";

/** The parts of a plan that its socket depends on. */
export type UdpPlan = Pick<PeersPlan, "listen" | "interface" | "ttl">;

/**
 * Returns a bound UDP descriptor that has joined its multicast group, if it has one. `isOurs`: this
 * program already uses the address, and the new socket takes over its packets. Throws a UsageError.
 */
export function openUdp(libc: Libc, plan: UdpPlan, isOurs: boolean): number {
  const { listen, interface: index } = plan;
  const fd = libc.socket(familyOf(listen), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw refusal(libc, listen);
  try {
    // Several programs can join a group.
    if (isGroup(listen) || isOurs) reuse(libc, fd);
    // A link-local group is a different one on each interface.
    if (listen.family === 6 && isGroup(listen) && index > 0) tie(libc, fd, index);
    const address = sockaddr(listen);
    if (libc.bind(fd, address, address.length) !== 0) throw refusal(libc, listen);
    // Lets the socket of the next configuration, or of a new version, bind the same address.
    reuse(libc, fd);
    setMulticast(libc, fd, plan);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

function setMulticast(libc: Libc, fd: number, { listen, interface: index, ttl }: UdpPlan): void {
  const isV4 = listen.family === 4;
  const set = (option: number, value: Uint8Array) =>
    libc.setsockopt(fd, isV4 ? IPPROTO_IP : IPPROTO_IPV6, option, value, value.length) === 0;
  set(isV4 ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS, cInt(ttl));
  if (index > 0) {
    const chosen = isV4 ? membership({ ...listen, address: "0.0.0.0" }, index) : cInt(index);
    if (!set(isV4 ? IP_MULTICAST_IF : IPV6_MULTICAST_IF, chosen)) {
      noInterface(String(index), "--shared-cache-if");
    }
  }
  if (!isGroup(listen)) return;
  const joined = set(isV4 ? IP_ADD_MEMBERSHIP : IPV6_ADD_MEMBERSHIP, membership(listen, index));
  if (joined) return;
  throw new UsageError(
    `--shared-cache-listen: the group ${formatEndpoint(listen)} cannot be joined ` +
      `(${errnoText(libc.errno())}); specify an interface with --shared-cache-if`,
  );
}

function tie(libc: Libc, fd: number, index: number): void {
  const option = { level: SOL_SOCKET, option: SO_BINDTOIFINDEX, value: index };
  if (!setOption(libc, fd, option)) noInterface(String(index), "--shared-cache-if");
}

function reuse(libc: Libc, fd: number): void {
  setOption(libc, fd, { level: SOL_SOCKET, option: SO_REUSEADDR, value: 1 });
}

function refusal(libc: Libc, listen: IpEndpoint): UsageError {
  const reason = addressRemedy(getSystemErrorName(-libc.errno()));
  return new UsageError(
    `--shared-cache-listen: cannot listen on ${formatEndpoint(listen)}: ${reason}`,
  );
}
