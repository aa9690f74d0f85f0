/** The machines that share sessions, with all names resolved. */
import { networkInterfaces } from "node:os";
import type { Privileges } from "../system/ids.ts";
import { UsageError } from "../base/errors.ts";
import { ipBytes, ipFamily, splitZone } from "../os/ip.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Address, CachePeers } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { peersKey } from "./packet.ts";
import { interfaceIndex } from "../system/network_interface.ts";
import { resolveOrKeep } from "../system/resolve.ts";

export interface PeersPlan {
  readonly listen: IpEndpoint;
  /** With the same address family. */
  readonly peers: readonly IpEndpoint[];
  /** The index of the interface for multicast; 0: the system chooses. */
  readonly interface: number;
  readonly ttl: number;
  /** Base64, derived from the fleet's secret, which it does not reveal. */
  readonly key: string;
  readonly privileges?: Privileges;
}

/**
 * Resolves all names; `warnings` gets a line for one that keeps its addresses. Throws a UsageError
 * for one that cannot be resolved.
 */
export async function planPeers(
  libc: Libc,
  { listen, peers, interface: name, ttl }: CachePeers,
  ticketSecret: Uint8Array,
  privileges: Privileges | undefined,
  warnings: string[],
): Promise<PeersPlan> {
  const found = await Promise.all(
    peers.map((peer) => resolveOrKeep(libc, peer, "--shared-cache-peer", warnings)),
  );
  const at = await listenAt(libc, listen, found[0]?.[0], warnings);
  return {
    listen: at,
    peers: found.map((endpoints) => ofFamily(endpoints, at)),
    interface: name === "" ? 0 : multicastInterface(libc, name),
    ttl,
    key: Buffer.from(peersKey(ticketSecret)).toString("base64"),
    ...(privileges ? { privileges } : {}),
  };
}

/** Whether the address is a multicast group (RFC 5771, RFC 4291 section 2.7). */
export function isGroup({ family, address }: IpEndpoint): boolean {
  const first = ipBytes(splitZone(address).address)[0]!;
  return family === 4 ? first >> 4 === 0xe : first === 0xff;
}

/** The wildcard has the family of the first peer. */
async function listenAt(
  libc: Libc,
  listen: Address,
  peer: IpEndpoint | undefined,
  warnings: string[],
): Promise<IpEndpoint> {
  if (listen.host === "*" && peer?.family === 4) {
    return { family: 4, address: "0.0.0.0", port: listen.port };
  }
  return (await resolveOrKeep(libc, listen, "--shared-cache-listen", warnings))[0]!;
}

function ofFamily(endpoints: readonly IpEndpoint[], listen: IpEndpoint): IpEndpoint {
  const { family } = listen;
  const found = endpoints.find((endpoint) => endpoint.family === family);
  if (found) return found;
  throw new UsageError(
    `--shared-cache-peer: ${formatEndpoint(endpoints[0]!)} cannot be reached from ` +
      `${formatEndpoint(listen)}; give an IPv${family} address`,
  );
}

/** Returns the index of an interface by its name, address or index. */
function multicastInterface(libc: Libc, text: string): number {
  const name = ipFamily(text) === 0 ? text : nameOfInterface(text);
  return interfaceIndex(libc, name, "--shared-cache-if", text);
}

/** Returns the name of the interface with this address, or "". */
function nameOfInterface(address: string): string {
  try {
    const all = Object.entries(networkInterfaces());
    return all.find(([, each]) => each!.some((one) => one.address === address))?.[0] ?? "";
  } catch {
    throw new UsageError(
      "--shared-cache-if: cannot find the interface with the address " +
        `${address} (RestrictAddressFamilies= without AF_NETLINK?); specify the interface's name`,
    );
  }
}
