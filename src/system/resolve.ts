import { lookup } from "node:dns/promises";
import { UsageError } from "../base/errors.ts";
import { ipFamily } from "../os/ip.ts";
import { SOCK_STREAM } from "../os/constants.ts";
import { AF_INET6 } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import type { IpEndpoint } from "../os/endpoint.ts";

/**
 * Returns all numeric addresses of the host, in the resolver's order; `*` is the dual-stack wildcard,
 * or the IPv4 one on a system without IPv6. Throws a UsageError that names `option`.
 */
export async function resolve(
  libc: Libc,
  { host, port }: { readonly host: string; readonly port: number },
  option: string,
): Promise<IpEndpoint[]> {
  if (host === "*") return [wildcard(libc, port)];
  const family = ipFamily(host);
  if (family !== 0) return [{ family, address: host, port }];
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address, family }) => ({
      family: family === 6 ? 6 : 4,
      address,
      port,
    }));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(
      `${option}: cannot resolve the host ${JSON.stringify(host)} (${
        reasons[code] ?? code
      }); check the name`,
    );
  }
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
