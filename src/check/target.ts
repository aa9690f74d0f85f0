/** What to check, as users write it. */
import { UsageError } from "../base/errors.ts";
import { parseHost, parsePort, parseUnix } from "../options/address.ts";
import { ValueError } from "../options/values.ts";
import { quote } from "../options/words.ts";
import { ipFamily } from "../os/ip.ts";

/** The server to check. */
export interface Target {
  /** For people: `example.com:443`, `[::1]:443`, `unix:/run/x.sock`. */
  readonly text: string;
  readonly place: { readonly host: string; readonly port: number } | { readonly path: string };
  /** The host, unless it is an address or a path. */
  readonly name?: string;
  /** It was given as a URL: its server speaks HTTP. Nothing else of the URL is used. */
  readonly isHttp: boolean;
  /** The URL has a path or a query. */
  readonly hasUnusedPath: boolean;
}

const HTTPS = 443;

/**
 * Parses `HOST`, `HOST:PORT`, `HOST,PORT`, `[IPV6]:PORT`, an IPv6 address alone, `:PORT`,
 * `https://HOST[:PORT]/…`, and the path of a Unix socket. Throws a UsageError.
 */
export function parseTarget(text: string): Target {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new UsageError(`check: ${error.message}`);
  }
}

function parse(text: string): Target {
  const [, scheme, authority, path] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is.exec(text) ??
    [];
  if (scheme !== undefined) {
    if (scheme.toLowerCase() !== "https") {
      throw new ValueError(`${quote(text)} is no https:// URL; use HOST:PORT`);
    }
    if (authority!.includes("@")) {
      throw new ValueError("the URL has a user or a password, which is not used; remove it");
    }
    return { ...hostPort(authority!), isHttp: true, hasUnusedPath: path !== "" && path !== "/" };
  }
  const unix = parseUnix(text);
  if (unix) return { text: `unix:${unix.path}`, place: unix, isHttp: false, hasUnusedPath: false };
  return { ...hostPort(text), isHttp: false, hasUnusedPath: false };
}

function hostPort(text: string): Omit<Target, "isHttp" | "hasUnusedPath"> {
  const { host, port } = split(text);
  const parsedHost = parseHost(host === "" ? "localhost" : toAscii(host));
  const parsedPort = port === undefined ? HTTPS : parsePort(port);
  if (parsedHost === "*") throw new ValueError(`${quote(text)} means every address; specify one`);
  const shown = parsedHost.includes(":") ? `[${parsedHost}]` : parsedHost;
  const isName = ipFamily(parsedHost.replace(/%.*/, "")) === 0;
  // A name's last dot says that it is complete; certificates and SNI have none.
  const name = parsedHost.replace(/\.$/, "").toLowerCase();
  return {
    text: `${shown}:${parsedPort}`,
    place: { host: parsedHost, port: parsedPort },
    ...(isName ? { name } : {}),
  };
}

function split(text: string): { readonly host: string; readonly port?: string } {
  if (text === "") throw new ValueError("the address is empty; use HOST:PORT");
  const [, bracketed, after] = /^\[([^\]]*)\](?:[:,](.*))?$/s.exec(text) ?? [];
  if (bracketed !== undefined) {
    return after === undefined ? { host: bracketed } : { host: bracketed, port: after };
  }
  // Several colons are an IPv6 address alone.
  if ((text.match(/:/g)?.length ?? 0) > 1 && !text.includes(",")) {
    const [, host, port] = /^(.*):(\d+)$/s.exec(text) ?? [];
    if (host !== undefined && ipFamily(text) === 0 && ipFamily(host) === 6) {
      throw new ValueError(
        `${quote(text)} is not an IPv6 address; with a port, write [${host}]:${port}`,
      );
    }
    return { host: text };
  }
  const [, host, port] = /^([^]*)[:,]([^:,]*)$/.exec(text) ?? [];
  return host === undefined ? { host: text } : { host, port: port! };
}

/** A name with other letters as DNS and certificates have it (`xn--…`); others as they are. */
function toAscii(host: string): string {
  if (!/[^\0-\x7f]/.test(host) || /[\s:/?#@[\]\\%]/.test(host)) return host;
  try {
    return new URL(`https://${host}/`).hostname;
  } catch {
    return host;
  }
}
