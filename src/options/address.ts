import type { IpEndpoint } from "../runtime/types.ts";
import { ipFamily, unmapped } from "../ip.ts";
import type { Address } from "./config.ts";

/**
 * Reads stud's forms `HOST,PORT` (split at the last comma, so that `::1,8000` works) and
 * `[HOST]:PORT`. The host `*` stands for every address of this machine.
 * Throws a RangeError that names the text, the reason and the remedy.
 */
export function parseAddress(text: string): Address {
  const [, bracketed, commaed, port] = /^(?:\[(.*)\]:|(.*),)([^,]*)$/s.exec(text) ?? [];
  const host = bracketed ?? commaed;
  if (host === undefined || port === undefined) {
    throw new RangeError(`${JSON.stringify(text)} is not an address; ${hint(text)}`);
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw new RangeError(`Invalid port number ${JSON.stringify(port)}; give 1 to 65535`);
  }
  const reason = host === "*" ? undefined : hostFault(host);
  if (reason) throw new RangeError(`${JSON.stringify(host)} ${reason}`);
  return { host, port: Number(port) };
}

/** As {@link parseAddress}, for an address to connect to: `*` is refused. */
export function parseHostAddress(text: string): Address {
  const address = parseAddress(text);
  if (address.host !== "*") return address;
  throw new RangeError(
    `Invalid address: wildcards are not allowed. Name one host, as in 127.0.0.1,${address.port}`,
  );
}

/** `[host]:port`, the form that every option for an address takes. */
export function formatAddress(address: Address): string {
  return `[${address.host}]:${address.port}`;
}

/**
 * `192.0.2.1:80` or `[2001:db8::1]:80`, as people write them in logs; an IPv4 peer of a dual-stack
 * socket is shown as the former.
 */
export function formatEndpoint(endpoint: IpEndpoint): string {
  const address = unmapped(endpoint.address);
  return `${address.includes(":") ? `[${address}]` : address}:${endpoint.port}`;
}

/** The right form, with the user's own values where they can be told apart. */
function hint(text: string): string {
  const [, host, port] = /^([^[\],\s]+):(\d{1,5})$/.exec(text) ?? [];
  const [shownHost, shownPort] = host === undefined ? ["HOST", "PORT"] : [host, port];
  return `write ${shownHost},${shownPort} or [${shownHost}]:${shownPort}`;
}

function hostFault(host: string): string | undefined {
  if (host === "") return "is an empty host; name one, or write * for every address";
  if (ipFamily(host) !== 0) return undefined;
  if (host.includes("%")) return "has a zone, which is not supported; leave out what follows the %";
  if (host.includes(":") || /^[\d.]+$/.test(host)) {
    return "is not an IP address; write it as in 192.0.2.1 or 2001:db8::1";
  }
  if (host.length <= 253 && /^[a-z0-9_][a-z0-9_.-]*$/i.test(host)) return undefined;
  return "is not a host; give a host name or an IP address";
}
