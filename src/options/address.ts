/** Parses addresses as users write them, and formats them. */
import type { Endpoint } from "../os/endpoint.ts";
import { ipFamily, ipv4Text, splitZone, unmapped } from "../os/ip.ts";
import { MAX_UNIX_PATH } from "../os/sockaddr.ts";
import type { Address, BackendAddress, ListenAddress, UnixAddress } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import { servicePort } from "./services.ts";
import { ValueError } from "./values.ts";
import { quote } from "./words.ts";

/** A frontend given as one text: its address, and the file after hitch's `+` (or ""). */
export interface ListenText {
  readonly listen: ListenAddress;
  readonly cert: string;
}

/**
 * Parses a listening address: stud's `HOST,PORT` (split at the last comma, so that `::1,8000` works;
 * not in hitch's dialect), `[HOST]:PORT`, each optionally with `+CERT` appended, `/path` or
 * `unix:/path` for a Unix socket, `@name` or `unix:@name` for an abstract one, `systemd:NAME` for a
 * socket from the service manager. The host `*`, or none, means every address of this machine; the
 * port is a number or a service name. Throws a ValueError.
 */
export function parseListen(text: string, dialect: Dialect): ListenText {
  const special = parseUnix(text) ?? parseActivated(text);
  if (special) return { listen: special, cert: "" };
  const { host, port, cert } = splitAddress(text, dialect);
  return { listen: { host: host === "" ? "*" : parseHost(host), port: parsePort(port) }, cert };
}

/** Parses a backend's address: as {@link parseListen}, without wildcard, certificate, `systemd:`. */
export function parseBackend(text: string, dialect: Dialect): BackendAddress {
  const unix = parseUnix(text);
  if (unix) return unix;
  // A hint to the form `[*]:PORT` would not help here.
  const [, starPort] = dialect === "stud" && /^\*:(\w{1,15})$/.exec(text) || [];
  const { host, port, cert } = starPort
    ? { host: "*", port: starPort, cert: "" }
    : splitAddress(text, dialect);
  if (cert !== "") {
    throw new ValueError(
      `${quote(text)} contains a certificate, which only a frontend can have; remove it`,
    );
  }
  if (host === "*") {
    throw new ValueError(
      `Invalid address: wildcards are not allowed. Specify one host, as in [127.0.0.1]:${port}`,
    );
  }
  return { host: parseHost(host), port: parsePort(port) };
}

/**
 * Parses the admin endpoint's address: as {@link parseListen}, without certificate and `systemd:`; undefined
 * for "". Whether it is a loopback address is known only once its host is resolved. Throws a ValueError.
 */
export function parseAdmin(text: string, dialect: Dialect): BackendAddress | undefined {
  if (text === "") return undefined;
  // In every dialect also as HOST:PORT, which other programs accept.
  const [, host, port] = /^([^[\]:,@/+]+):(\w+)$/.exec(text) ?? [];
  const plain = host !== undefined && host !== "unix" && host !== "systemd";
  const { listen, cert } = parseListen(plain ? `[${host}]:${port}` : text, dialect);
  if (cert === "" && !("activated" in listen)) return listen;
  throw new ValueError(
    `${quote(text)} is not an admin address; use a Unix socket, as in /run/stud/admin.sock, or ` +
      "[127.0.0.1]:9443",
  );
}

/** Parses a UDP address to bind: host, multicast group or `*`, and port. Throws a ValueError. */
export function parseUdp(text: string, dialect: Dialect): Address {
  const { host, port, cert } = splitAddress(text, dialect);
  if (cert === "") return { host: parseHost(host), port: parsePort(port) };
  throw new ValueError(`${quote(text)} is not an address; for example, use [192.0.2.1]:8200`);
}

/** Parses a UDP address to send to: as {@link parseUdp}, without wildcard. */
export function parseUdpPeer(text: string, dialect: Dialect): Address {
  const address = parseUdp(text, dialect);
  if (address.host !== "*") return address;
  throw new ValueError(`${quote(text)} means every address; specify one host or one group`);
}

/**
 * Parses a host name, a numeric address, or `*`. Returns IPv4 addresses in dotted form. Throws a
 * ValueError.
 */
export function parseHost(host: string): string {
  const numeric = ipv4Text(host);
  if (numeric !== undefined) return numeric;
  const reason = host === "*" ? undefined : hostFault(host);
  if (reason) throw new ValueError(`${quote(host)} ${reason}`);
  return host;
}

/** Parses a port: 1 to 65535, or the name of a TCP service. Throws a ValueError. */
export function parsePort(port: string): number {
  const number = /^\d{1,5}$/.test(port) ? Number(port) : servicePort(port) ?? 0;
  if (number >= 1 && number <= 65535) return number;
  throw new ValueError(
    `Invalid port number ${quote(port)}; use 1 to 65535, or a service name from /etc/services`,
    `Invalid port number '${port}'.`,
  );
}

/** Parses a Unix socket; undefined for text of another form. Throws a ValueError. */
export function parseUnix(text: string): UnixAddress | undefined {
  const path = text.startsWith("unix:") ? text.slice(5) : text;
  if (path === text && !/^[/@]/.test(text)) return undefined;
  if (!/^[/@]./.test(path)) {
    throw new ValueError(
      `${quote(text)} is not a Unix socket; use an absolute path, or @ and a name`,
    );
  }
  if (new TextEncoder().encode(path).length >= MAX_UNIX_PATH) {
    throw new ValueError(
      `${quote(text)} is too long for a Unix socket; use a path of at most ${
        MAX_UNIX_PATH - 1
      } bytes`,
    );
  }
  return { path };
}

/** Parses `systemd:NAME`; undefined for text of another form. Throws a ValueError. */
export function parseActivated(text: string): { activated: string } | undefined {
  const [, name] = /^systemd:(.*)$/s.exec(text) ?? [];
  if (name === undefined) return undefined;
  // systemd.socket(5): FileDescriptorName= has up to 255 characters and no colon.
  if (/^[^:\s]{1,255}$/.test(name)) return { activated: name };
  throw new ValueError(
    `${
      quote(text)
    } does not name a socket; write systemd: and the FileDescriptorName of the socket unit`,
  );
}

/** Returns `[host]:port`, `unix:/path`, `unix:@name` or `systemd:name`: forms for every option. */
export function formatAddress(address: ListenAddress): string {
  if ("activated" in address) return `systemd:${address.activated}`;
  return "path" in address ? `unix:${address.path}` : `[${address.host}]:${address.port}`;
}

/**
 * Returns `192.0.2.1:443`, `[2001:db8::1]:443`, `*:443`, `name.example:443`, or as
 * {@link formatAddress}: the name of a frontend in metrics, the status and logs, which have the same
 * form as {@link formatEndpoint}.
 */
export function displayAddress(address: ListenAddress): string {
  if (!("host" in address)) return formatAddress(address);
  const { host, port } = address;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/**
 * Returns `192.0.2.1:80`, `[2001:db8::1]:80` or `unix:/run/x.sock`, for logs; an IPv4 peer of a
 * dual-stack socket is shown as IPv4.
 */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.family === "unix") return `unix:${endpoint.path}`;
  const address = unmapped(endpoint.address);
  return `${address.includes(":") ? `[${address}]` : address}:${endpoint.port}`;
}

/** True for an address that has a host and a port. */
export function isIpAddress(address: ListenAddress): address is Address {
  return "host" in address;
}

interface AddressText {
  readonly host: string;
  readonly port: string;
  readonly cert: string;
}

function splitAddress(text: string, dialect: Dialect): AddressText {
  const [, bracketed, commaed, rest] =
    /^(?:\[(.*)\]:|([^[][^+]*|),)([^,+]*(?:\+.*)?)$/s.exec(text) ?? [];
  const host = bracketed ?? (dialect === "stud" ? commaed : undefined);
  if (host === undefined || rest === undefined) {
    throw new ValueError(
      `${quote(text)} is not an address; ${hint(text, dialect)}`,
      text.startsWith("[")
        ? `Invalid port specifier in string '${text}'.`
        : `Invalid address string '${text}'`,
    );
  }
  const [port, ...cert] = rest.split("+");
  return { host, port: port!, cert: cert.join("+") };
}

/** The correct form, with the user's own values if they can be recognized. */
function hint(text: string, dialect: Dialect): string {
  if (/^[^:[,]*\//.test(text)) return "the path of a Unix socket begins with /";
  const { host: shownHost, port: shownPort } = guessed(text);
  const bracketed = `[${shownHost}]:${shownPort}`;
  return dialect === "stud"
    ? `write ${shownHost},${shownPort} or ${bracketed}`
    : `write ${bracketed}`;
}

/** The host and the port that are meant in a URL, in a port alone, or in another program's form. */
function guessed(text: string): { readonly host: string; readonly port: string | number } {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(text) ?? [];
  if (rest !== undefined) {
    const [, v6, name, port] = /^(?:\[(.*)\]|([^:]+))(?::(\d{1,5}))?$/.exec(rest) ?? [];
    const host = v6 ?? name ?? "HOST";
    return { host, port: port ?? servicePort(scheme!.toLowerCase()) ?? "PORT" };
  }
  const [, alone] = /^:?(\d{1,5})$/.exec(text) ?? [];
  if (alone !== undefined) return { host: "HOST", port: alone };
  const [, host, port] = /^([^[\],\s]+)[:,\s](\w{1,15})$/.exec(text) ?? [];
  return host === undefined ? { host: "HOST", port: "PORT" } : { host, port: port! };
}

function hostFault(host: string): string | undefined {
  if (host === "") return "is an empty host; specify one";
  if (ipFamily(splitZone(host).address) !== 0) return undefined;
  if (/^[\d.]+$/.test(host) && /(^|\.)0\d/.test(host)) {
    return "has a leading zero, which means octal to some programs; remove it";
  }
  if (host.includes("%")) {
    return "is not an address with a zone; specify one as in fe80::1%eth0";
  }
  if (host.includes(":") || /^[\d.]+$/.test(host)) {
    return "is not an IP address; for example, use 192.0.2.1 or 2001:db8::1";
  }
  if (host.length <= 253 && /^[a-z0-9_][a-z0-9_.-]*$/i.test(host)) return undefined;
  return "is not a host; use a host name or an IP address";
}
