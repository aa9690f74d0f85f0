/**
 * Parsers of option values: each takes the text as the user wrote it and returns the value, or throws
 * a {@link ValueError} with the text, the reason and the remedy.
 */
import { parseCidr } from "../base/cidr.ts";
import { ERROR_CLASSES, LOUD, QUIET_CODES } from "../base/error_classes.ts";
import { syslogFacilities } from "../base/syslog_facilities.ts";
import { ipFamily } from "../os/ip.ts";
import type { ProxyTlv } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import { nearest, quote } from "./words.ts";

/** A value that is invalid for its option; `original` is hitch's own text for it, if any. */
export class ValueError extends RangeError {
  readonly original: string | undefined;

  constructor(message: string, original?: string) {
    super(message);
    this.original = original;
  }
}

/** Parses one value. Throws a ValueError. */
export type Parse<T> = (text: string, dialect: Dialect) => T;

/** Parses the words of stud and hitch for on and off, in any case. */
export function onOff(text: string): boolean {
  if (/^(on|yes|y|true|t|1)$/i.test(text)) return true;
  if (/^(off|no|n|false|f|0)$/i.test(text)) return false;
  throw new ValueError(`${quote(text)} is neither on nor off; use one of these`);
}

/** Returns a parser of whole numbers from `min` to `max`; `or` names other accepted values. */
export function integer(min: number, max: number, or = ""): Parse<number> {
  const remedy = `use ${min} to ${max}${or}`;
  return (text) => {
    if (!/^[+-]?\d+$/.test(text)) {
      throw new ValueError(`${quote(text)} is not a whole number; ${remedy}`, "Not a number.");
    }
    const value = Number(text);
    if (value >= min && value <= max) return value;
    const original = value < 0 ? "Negative number." : "Number out of range.";
    throw new ValueError(`${quote(text)} is out of range; ${remedy}`, original);
  };
}

/** Parses a queue length; a negative number means the longest that the kernel allows. */
export function backlog(text: string): number {
  const value = integer(-2147483648, 2147483647)(text, "stud");
  return value < 0 ? 2147483647 : value;
}

/** Parses a number of processes, 1 to 1024, or `auto`. */
export function workers(text: string, dialect: Dialect): number | "auto" {
  return countOr("auto", 1024)(text, dialect);
}

/** Parses seconds, with or without a fraction, at most a day. */
export function seconds(text: string): number {
  return secondsOr(text, "");
}

/** As {@link seconds}, but also accepts 0. */
export function secondsOrNone(text: string): number {
  return /^0+(\.0+)?$/.test(text) ? 0 : secondsOr(text, ", or 0");
}

const unitSeconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600 };

function secondsOr(text: string, or: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) === 0) {
    const original = /^-\d+$/.test(text) ? "Negative number." : "Not a number.";
    const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)$/.exec(text) ?? [];
    const remedy = amount === undefined
      ? `use seconds, as in 30 or 0.5${or}`
      : `use seconds without a unit: ${Number(amount) * unitSeconds[unit]!}`;
    throw new ValueError(
      `${quote(text)} is not a positive number; ${remedy}`,
      original,
    );
  }
  if (Number(text) <= 86400) return Number(text);
  throw new ValueError(
    `${quote(text)} is more than a day; use at most 86400 seconds`,
    "Number out of range.",
  );
}

/** Returns a parser of whole numbers from 1 to `max`, or the word. */
export function countOr<T extends string>(word: T, max: number): Parse<number | T> {
  const count = integer(1, max, `, or ${word}`);
  return (text, dialect) => text === word ? word : count(text, dialect);
}

/** Returns a parser that accepts one of these words. */
export function oneOf<T extends string>(...words: readonly T[]): Parse<T> {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    throw new ValueError(`${quote(text)} is not a valid value; use one of ${words.join(", ")}`);
  };
}

/** Accepts any text except an empty one, such as a path or a user's name. */
export function nonEmpty(text: string): string {
  if (text !== "") return text;
  throw new ValueError('"" is not a value; specify one, or remove the option');
}

/** Accepts the path of a file to write, or "" for none. A port is meant for another option. */
export function outputPath(text: string): string {
  const [, port] = /^(?:.*[:,])?(\d{1,5})$/.exec(text.includes("/") ? "" : text) ?? [];
  if (port === undefined) return text;
  const shown = quote(text);
  throw new ValueError(
    `${shown} looks like a port, not a file; to listen there, use --frontend=*,${port}; ` +
      `for a file of this name, write ./${text}`,
  );
}

/** Accepts what {@link outputPath} accepts, but no word that is meant for something else. */
export function accessLogOutput(text: string): string {
  const remedy = Object.hasOwn(OUTPUT_WORDS, text) ? OUTPUT_WORDS[text] : undefined;
  if (remedy === undefined) return outputPath(text);
  throw new ValueError(`${remedy}; for a file of this name, write ./${text}`);
}

const OUTPUT_WORDS: Readonly<Record<string, string>> = {
  "stdout": '"stdout" is not a file; for standard output, use -',
  "stderr": '"stderr" is where the log goes; for standard output, use -',
  ...Object.fromEntries(
    ["text", "json"].map((word) => [
      word,
      `"${word}" is a form, not a file; use --access-log-format=${word} beside a file`,
    ]),
  ),
  ...Object.fromEntries(
    ["on", "off", "yes", "no", "true", "false", "none"].map((word) => [
      word,
      `"${word}" is not a file; name one, or use "" for no access log`,
    ]),
  ),
};

/** Accepts any text, such as a path, or "" for none. */
export function anyText(text: string): string {
  return text;
}

/** Parses a log level. hitch accepts any number from 0; levels above 2 are the same as 2 here. */
export function logLevel(text: string, dialect: Dialect): 0 | 1 | 2 {
  const level = ([0, 1, 2] as const).find((level) => String(level) === text);
  if (level !== undefined) return level;
  if (dialect === "hitch" && integer(0, 2147483647)(text, dialect) > 2) return 2;
  throw new ValueError(`${quote(text)} is not a log level; use 0, 1 or 2`);
}

/** Parses a syslog facility's name. */
export function facility(text: string): string {
  if (Object.hasOwn(syslogFacilities, text)) return text;
  throw new ValueError(
    `Invalid facility ${quote(text)}; use one of ${Object.keys(syslogFacilities).join(", ")}`,
    `Invalid facility '${text}'.`,
  );
}

/** Parses numeric addresses, separated by commas or spaces. */
export function ipAddresses(text: string): readonly string[] {
  const addresses = listed(text);
  for (const address of addresses) {
    if (ipFamily(address) !== 0) continue;
    throw new ValueError(
      `${quote(address)} is not an IP address; for example, use 192.0.2.1,192.0.2.2`,
    );
  }
  return addresses;
}

/**
 * Parses numeric addresses and CIDR blocks (RFC 4632), separated by commas or spaces; `unix` means
 * the peers of a Unix frontend.
 */
export function networks(text: string): readonly string[] {
  const blocks = listed(text);
  for (const block of blocks) {
    try {
      if (block !== "unix") parseCidr(block);
    } catch (error) {
      const { message } = error as RangeError;
      throw new ValueError(
        `${quote(block)} ${message}; for example, use 192.0.2.1,10.0.0.0/8,fd00::/8`,
      );
    }
  }
  return blocks;
}

const tlvs: readonly ProxyTlv[] = [
  ...["alpn", "authority", "hitch-cert", "ssl", "cn", "sig-alg", "key-alg", "client-cert"] as const,
  ...["crc32c", "unique-id"] as const,
];

const partsOfSsl: readonly string[] = ["cn", "sig-alg", "key-alg", "client-cert"];

/** Parses names of TLVs, separated by commas or spaces; keeps their order, drops repetitions. */
export function proxyTlvs(text: string): readonly ProxyTlv[] {
  const names = [...new Set(listed(text))];
  const part = names.find((name) => partsOfSsl.includes(name));
  if (part !== undefined && !names.includes("ssl")) {
    throw new ValueError(`${part} is a part of ssl; add ssl`);
  }
  return names.map((name) => {
    if (name === "group" || name === "sig-scheme") {
      throw new ValueError(
        `${name} is not supported by any build (no TLS library reports it); remove it`,
      );
    }
    const known = tlvs.find((tlv) => tlv === name);
    if (known) return known;
    throw new ValueError(`${quote(name)} is not a TLV; use any of ${tlvs.join(", ")}`);
  });
}

/** Accepts `1/N`, with N from 1 to a million. */
export function sample(text: string): string {
  const [, n] = /^1\/(\d{1,7})$/.exec(text) ?? [];
  if (n !== undefined && Number(n) >= 1 && Number(n) <= 1_000_000) return text;
  throw new ValueError(`${quote(text)} is not a share; use 1/N, as in 1/100`);
}

/** Parses the classes and codes of errors to silence, separated by commas or spaces. */
export function errorClasses(text: string): readonly string[] {
  const names = [...new Set(listed(text))];
  const known = [...ERROR_CLASSES, ...QUIET_CODES];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return names;
  if (LOUD.includes(unknown)) {
    throw new ValueError(`${unknown} cannot be silenced: it needs your attention; remove it`);
  }
  const near = nearest(unknown, known);
  throw new ValueError(
    `${quote(unknown)} is not a class of errors${near ? `; did you mean ${near}?` : ""}; ` +
      `use any of ${ERROR_CLASSES.join(", ")}, or the code of a failure`,
  );
}

/** Parses a DNS name as used in SNI (RFC 6066 section 3), or "". */
export function serverName(text: string): string {
  if (text === "" || (ipFamily(text) === 0 && /^[a-z0-9_][a-z0-9_.-]{0,252}$/i.test(text))) {
    return text;
  }
  throw new ValueError(`${quote(text)} is not a host name; for example, use backend.example.com`);
}

/** Parses `IFACE` or `IFACE,TTL`: an interface's name, address or index, and a TTL. */
export function multicast(text: string): string {
  const [, , ttl = "1"] = /^([^,\s]{1,64})(?:,(\d{1,3}))?$/.exec(text) ?? [, , "none"];
  if (text === "" || (Number(ttl) >= 1 && Number(ttl) <= 255)) return text;
  throw new ValueError(`${quote(text)} is not an interface; for example, use eth0 or eth0,2`);
}

/** Parses the URL of a Redis or Valkey server, or "". */
export function storeUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isStore = url && /^rediss?:$/.test(url.protocol) && url.hostname !== "" &&
    /^\/?\d{0,4}$/.test(url.pathname) && url.search === "" && url.hash === "" &&
    !/%(?![0-9A-Fa-f]{2})/.test(url.username + url.password);
  if (text === "" || isStore) return text;
  // The text is not quoted: it may contain a password.
  throw new ValueError(
    "it is not the URL of a store; for example, use redis://127.0.0.1:6379 or " +
      "rediss://user:password@host/0",
  );
}

function listed(text: string): string[] {
  return text.split(/[, ]+/).filter((item) => item !== "");
}
