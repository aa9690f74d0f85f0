import { lookup } from "node:dns/promises";
import { UsageError } from "../base/errors.ts";
import { ipBytes, ipFamily, ipText, splitZone, unmappedBytes } from "../os/ip.ts";
import { SOCK_STREAM } from "../os/constants.ts";
import { AF_INET6 } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { interfaceIndex } from "./network_interface.ts";

/** A host name or a numeric address, also with a zone, and a port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/**
 * Returns all numeric addresses of the host, in the resolver's order; `*` is the dual-stack wildcard,
 * or the IPv4 one on a system without IPv6. An IPv4-mapped address is returned as IPv4. Throws a
 * UsageError that names `option`.
 */
export async function resolve(
  libc: Libc,
  { host, port }: HostPort,
  option: string,
): Promise<IpEndpoint[]> {
  if (host === "*") return [wildcard(libc, port)];
  const { address, zone } = splitZone(host);
  if (zone !== "") {
    return [{ family: 6, address: `${address}%${interfaceIndex(libc, zone, option)}`, port }];
  }
  if (isLinkLocal(host)) {
    throw new UsageError(
      `${option}: ${host} is a link-local address; add its interface, as in ${host}%eth0`,
    );
  }
  const isName = ipFamily(host) === 0;
  const found = isName ? await lookUp(host, option) : [host];
  // Several lines of /etc/hosts can have the same address.
  const addresses = [...new Set(found.map((each) => ipText(unmappedBytes(ipBytes(each)))))];
  if (isName) lastResults.set(host, addresses);
  return endpoints(addresses, port);
}

function endpoints(addresses: readonly string[], port: number): IpEndpoint[] {
  return addresses.map((address) => ({ family: address.includes(":") ? 6 : 4, address, port }));
}

/** Such an address is one of an interface (RFC 4291 section 2.5.6). */
function isLinkLocal(host: string): boolean {
  if (ipFamily(host) !== 6) return false;
  const [first, second] = ipBytes(host);
  return first === 0xfe && (second! & 0xc0) === 0x80;
}

/** How long to wait for a DNS server if the name has known addresses, in milliseconds. */
const LOOKUP_LIMIT_MS = 5000;

/**
 * As {@link resolve}; a name that cannot be resolved in five seconds keeps the addresses that it had
 * before, and `warnings` gets a line.
 */
export async function resolveOrKeep(
  libc: Libc,
  { host, port }: HostPort,
  option: string,
  warnings: string[],
): Promise<IpEndpoint[]> {
  const known = lastResults.get(host);
  const found = resolve(libc, { host, port }, option);
  if (!known) return await found;
  let timer;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unresolved(host, option, "EAI_AGAIN")), LOOKUP_LIMIT_MS);
  });
  try {
    return await Promise.race([found, limit]);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    warnings.push(`${error.message}; ${known.join(" ")} stays in use`);
    return endpoints(known, port);
  } finally {
    clearTimeout(timer);
  }
}

/** The latest addresses of each name. */
const lastResults = new Map<string, readonly string[]>();

async function lookUp(host: string, option: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => splitZone(address).address);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw unresolved(host, option, code);
  }
}

function unresolved(host: string, option: string, code: string): UsageError {
  const reason = reasons[code] ?? code;
  return new UsageError(
    `${option}: cannot resolve the host ${JSON.stringify(host)} (${reason}); check the name`,
  );
}

/** For the codes of getaddrinfo(3) as `node:dns` names them. */
const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "it is unknown",
  EAI_AGAIN: "no DNS server answers",
};

function wildcard(libc: Libc, port: number): IpEndpoint {
  const fd = libc.socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0) return { family: 4, address: "0.0.0.0", port };
  libc.close(fd);
  return { family: 6, address: "::", port };
}
