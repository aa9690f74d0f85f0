/**
 * Readers of option values: each takes the text as the user wrote it and returns the value, or throws
 * a {@link ValueError} that names the text, the reason and the remedy.
 */
import { parseCidr } from "../base/cidr.ts";
import { syslogFacilities } from "../base/syslog_facilities.ts";
import { ipFamily } from "../os/ip.ts";
import type { Protocol } from "../runtime/tls.ts";
import type { ProxyTlv } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import { quote } from "./words.ts";

/** A value that does not fit its option; `original` is what hitch says of it, if it says anything. */
export class ValueError extends RangeError {
  readonly original: string | undefined;

  constructor(message: string, original?: string) {
    super(message);
    this.original = original;
  }
}

/** Reads one value. Throws a ValueError. */
export type Parse<T> = (text: string, dialect: Dialect) => T;

/** The words of stud and hitch for on and off, in any case. */
export function onOff(text: string): boolean {
  if (/^(on|yes|y|true|t|1)$/i.test(text)) return true;
  if (/^(off|no|n|false|f|0)$/i.test(text)) return false;
  throw new ValueError(`${quote(text)} is neither on nor off; give one of these`);
}

/** A whole number from `least` to `most`; `or` names what else the option takes. */
export function integer(least: number, most: number, or = ""): Parse<number> {
  const remedy = `give ${least} to ${most}${or}`;
  return (text) => {
    if (!/^[+-]?\d+$/.test(text)) {
      throw new ValueError(`${quote(text)} is not a whole number; ${remedy}`, "Not a number.");
    }
    const value = Number(text);
    if (value >= least && value <= most) return value;
    const original = value < 0 ? "Negative number." : "Number out of range.";
    throw new ValueError(`${quote(text)} is out of range; ${remedy}`, original);
  };
}

/** Connections in a queue; a negative number is the longest queue that the kernel allows. */
export function backlog(text: string): number {
  const value = integer(-2147483648, 2147483647)(text, "stud");
  return value < 0 ? 2147483647 : value;
}

/** 1 to 1024 processes, or `auto`. */
export function workers(text: string, dialect: Dialect): number | "auto" {
  return countOr("auto", 1024)(text, dialect);
}

/** Seconds, also with a fraction, at most a day. */
export function seconds(text: string): number {
  return secondsOr(text, "");
}

/** As {@link seconds}, or 0 for none. */
export function secondsOrNone(text: string): number {
  return /^0+(\.0+)?$/.test(text) ? 0 : secondsOr(text, ", or 0");
}

function secondsOr(text: string, or: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) === 0) {
    const original = /^-\d+$/.test(text) ? "Negative number." : "Not a number.";
    throw new ValueError(
      `${quote(text)} is not a positive number; give seconds, as in 30 or 0.5${or}`,
      original,
    );
  }
  if (Number(text) <= 86400) return Number(text);
  throw new ValueError(
    `${quote(text)} is more than a day; give at most 86400 seconds`,
    "Number out of range.",
  );
}

/** A whole number from 1 to `most`, or the word. */
export function countOr<T extends string>(word: T, most: number): Parse<number | T> {
  const count = integer(1, most, `, or ${word}`);
  return (text, dialect) => text === word ? word : count(text, dialect);
}

/** One of a few words. */
export function oneOf<T extends string>(...words: readonly T[]): Parse<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    throw new ValueError(`${quote(text)} is none of its values; give ${words.join(", ")}`);
  };
}

/** Any text but none, such as a path or a user's name. */
export function something(text: string): string {
  if (text !== "") return text;
  throw new ValueError('"" is no value; give one, or leave the option out');
}

/** A path, or "" for none. */
export function anything(text: string): string {
  return text;
}

/** hitch takes any number from 0; its levels beyond 2 tell no more than 2 does here. */
export function logLevel(text: string, dialect: Dialect): 0 | 1 | 2 {
  const level = ([0, 1, 2] as const).find((level) => String(level) === text);
  if (level !== undefined) return level;
  if (dialect === "hitch" && integer(0, 2147483647)(text, dialect) > 2) return 2;
  throw new ValueError(`${quote(text)} is not a log level; give 0, 1 or 2`);
}

/** A syslog facility's name. */
export function facility(text: string): string {
  if (Object.hasOwn(syslogFacilities, text)) return text;
  throw new ValueError(
    `Invalid facility ${quote(text)}; give one of ${Object.keys(syslogFacilities).join(", ")}`,
    `Invalid facility '${text}'.`,
  );
}

/** Numeric addresses between commas or spaces. */
export function ipAddresses(text: string): readonly string[] {
  const addresses = listed(text);
  for (const address of addresses) {
    if (ipFamily(address) !== 0) continue;
    throw new ValueError(
      `${quote(address)} is not an IP address; write it as in 192.0.2.1,192.0.2.2`,
    );
  }
  return addresses;
}

/**
 * Numeric addresses and CIDR blocks (RFC 4632) between commas or spaces; `unix` stands for the peers
 * of a Unix frontend.
 */
export function networks(text: string): readonly string[] {
  const blocks = listed(text);
  for (const block of blocks) {
    try {
      if (block !== "unix") parseCidr(block);
    } catch (error) {
      const { message } = error as RangeError;
      throw new ValueError(
        `${quote(block)} ${message}; write it as in 192.0.2.1,10.0.0.0/8,fd00::/8`,
      );
    }
  }
  return blocks;
}

/** An OpenSSL cipher list. */
export function ciphers(text: string): string {
  if (/^[\w:,.+!@= -]*$/.test(text)) return text;
  throw new ValueError(`${quote(text)} is not an OpenSSL cipher list; write it as in HIGH:!aNULL`);
}

/** TLS 1.3 cipher suites between colons. */
export function ciphersuites(text: string): string {
  if (/^[\w:]*$/.test(text)) return text;
  throw new ValueError(
    `${quote(text)} is not a list of TLS 1.3 cipher suites; ` +
      "write it as in TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
  );
}

/** Groups between colons in OpenSSL's syntax, or `auto`. */
export function curves(text: string): string {
  if (/^[\w:.?*/-]+$/.test(text)) return text;
  throw new ValueError(
    `${quote(text)} is not a list of groups; write it as in X25519:P-256, or auto`,
  );
}

/** Protocol names of 1 to 255 bytes (RFC 7301 section 3.1) between commas; spaces do not count. */
export function alpnProtocols(text: string): readonly string[] {
  const names = text.replaceAll(/\s/g, "").replace(/,$/, "").split(",");
  if (names.length === 1 && names[0] === "") return [];
  const original = `alpn-protos configuration "${text}" is bad.`;
  if (names.includes("")) {
    throw new ValueError(
      `alpn-protos has empty proto in list ${quote(text)}; remove a comma`,
      original,
    );
  }
  const long = names.find((name) => new TextEncoder().encode(name).length > 255);
  if (long === undefined) return names;
  throw new ValueError(`${quote(long)} is longer than 255 bytes; give a protocol's name`, original);
}

const versions: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** hitch's rule: a version counts wherever its name occurs, in any case and with any separator. */
export function protocols(text: string): readonly Protocol[] {
  const original = `Invalid 'tls-protos' option '${text}'`;
  if (/SSLv3/i.test(text)) {
    throw new ValueError(
      "SSLv3 no longer exists in any of these TLS libraries; remove it",
      original,
    );
  }
  const named = versions.filter((name) => text.toLowerCase().includes(name.toLowerCase()));
  const rest = text.replaceAll(/TLSv1\.[0-3]/gi, "");
  // "all -TLSv1.0" or "TLSv1.2-TLSv1.3" would not get what they mean, so they are refused.
  if (named.length > 0 && !/[\w!-]/.test(rest)) return named;
  throw new ValueError(
    `${quote(text)} is not a list of TLS versions; name any of ${versions.join(", ")}`,
    original,
  );
}

const tlvs: readonly ProxyTlv[] = [
  ...["alpn", "authority", "hitch-cert", "ssl", "cn", "sig-alg", "key-alg", "client-cert"] as const,
  ...["crc32c", "unique-id"] as const,
];

const partsOfSsl: readonly string[] = ["cn", "sig-alg", "key-alg", "client-cert"];

/** Names of TLVs between commas or spaces, in the order of writing; each counts once. */
export function proxyTlvs(text: string): readonly ProxyTlv[] {
  const names = [...new Set(listed(text))];
  const part = names.find((name) => partsOfSsl.includes(name));
  if (part !== undefined && !names.includes("ssl")) {
    throw new ValueError(`${part} is a part of ssl; name ssl too`);
  }
  return names.map((name) => {
    if (name === "group" || name === "sig-scheme") {
      throw new ValueError(
        `${name} cannot be honoured by any build (no TLS library tells it); leave it out`,
      );
    }
    const known = tlvs.find((tlv) => tlv === name);
    if (known) return known;
    throw new ValueError(`${quote(name)} is not a TLV; name any of ${tlvs.join(", ")}`);
  });
}

/** A DNS name as SNI carries it (RFC 6066 section 3), or "". */
export function serverName(text: string): string {
  if (text === "" || (ipFamily(text) === 0 && /^[a-z0-9_][a-z0-9_.-]{0,252}$/i.test(text))) {
    return text;
  }
  throw new ValueError(`${quote(text)} is not a host's name; write it as in backend.example.com`);
}

/** `IFACE` or `IFACE,TTL`: an interface's name, address or number, and how far a packet goes. */
export function multicast(text: string): string {
  const [, , ttl = "1"] = /^([^,\s]{1,64})(?:,(\d{1,3}))?$/.exec(text) ?? [, , "none"];
  if (text === "" || (Number(ttl) >= 1 && Number(ttl) <= 255)) return text;
  throw new ValueError(`${quote(text)} is no interface; write it as in eth0 or eth0,2`);
}

/** The URL of a Redis or Valkey server, or "". */
export function storeUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isStore = url && /^rediss?:$/.test(url.protocol) && url.hostname !== "" &&
    /^\/?\d{0,4}$/.test(url.pathname) && url.search === "" && url.hash === "" &&
    !/%(?![0-9A-Fa-f]{2})/.test(url.username + url.password);
  if (text === "" || isStore) return text;
  // It may hold a password.
  throw new ValueError(
    "it is not the URL of a store; write it as in redis://127.0.0.1:6379 or rediss://:password@host/0",
  );
}

function listed(text: string): string[] {
  return text.split(/[, ]+/).filter((item) => item !== "");
}
