/**
 * The one table of options. The command line, `--help`, `--default-config` and the README's table
 * are made from it; the types of the settings are inferred from it.
 */
import { ipFamily } from "../ip.ts";
import type { Protocol } from "../runtime/types.ts";
import { parseAddress, parseHostAddress } from "./address.ts";
import type { Need } from "./builds.ts";

/** One option; its long name is its key in {@link options}. */
export interface Option {
  /** The heading under which help shows it. */
  readonly group: string;
  readonly short?: string;
  /** What help calls the argument. Without one the option is a flag. */
  readonly argument?: string;
  /** A flag that also takes `=on` and `=off`. */
  readonly optional?: true;
  /** As the user would write it. A setting without one is undefined until it is given. */
  readonly default?: string | undefined;
  readonly help: string;
  /**
   * Reads a value; an option without it is an action such as `--help`. Throws a RangeError that
   * names the text, the reason and the remedy.
   */
  readonly parse?: (text: string) => unknown;
  /** What the build must have, unless the value is the one that every build gives. */
  readonly needs?: { readonly need: Need; readonly unless: string };
  /** Options with the same word here contradict each other: at most one of them can be on. */
  readonly choice?: string;
  /** One of stud's options that this version recognises and refuses. */
  readonly later?: true;
}

const flag = { optional: true, default: "off", parse: onOff } as const;

/** All options by long name, in the order of help. */
export const options = {
  "frontend": {
    group: "Sockets",
    short: "f",
    argument: "HOST,PORT",
    default: "[*]:8443",
    help: "Where TLS clients connect; * is every address. The last one given counts.",
    parse: parseAddress,
  },
  "backend": {
    group: "Sockets",
    short: "b",
    argument: "HOST,PORT",
    default: "[127.0.0.1]:8000",
    help: "Where the decrypted bytes go.",
    parse: parseHostAddress,
  },
  "backend-source": {
    group: "Sockets",
    argument: "ADDRESS,…",
    default: "",
    help: "Connect to the backend from these addresses in turn: each has some 28,000 ports.",
    parse: ipAddresses,
    needs: { need: "backendSource", unless: "" },
  },
  "backlog": {
    group: "Sockets",
    short: "B",
    argument: "N",
    default: "1024",
    help: "Connections that wait in each listening socket's queue.",
    parse: integer(1, 65535),
  },
  "keepalive": {
    group: "Sockets",
    short: "k",
    argument: "SECONDS",
    default: "3600",
    help: "Silence before TCP probes a client.",
    parse: integer(1, 32767),
  },
  "workers": {
    group: "Workers",
    short: "n",
    argument: "N|auto",
    default: "auto",
    help: "Worker processes; auto starts one for each available core.",
    parse: workers,
  },
  "pin-workers": { group: "Workers", ...flag, help: "Bind each worker to a core of its own." },
  "tls": {
    group: "TLS",
    ...flag,
    default: "on",
    help: "Offer TLS 1.2 and 1.3.",
    choice: "protocols",
  },
  "ssl": {
    group: "TLS",
    ...flag,
    help: "Offer every version that the build can speak, TLS 1.0 and 1.1 where it has them.",
    choice: "protocols",
  },
  "tls-protos": {
    group: "TLS",
    argument: "LIST",
    default: undefined,
    help: "Offer exactly these versions: any of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3.",
    parse: protocols,
    needs: { need: "chooseProtocols", unless: "TLSv1.2,TLSv1.3" },
    choice: "protocols",
  },
  "ciphers": {
    group: "TLS",
    short: "c",
    argument: "LIST",
    default: "",
    help: "OpenSSL cipher list for TLS 1.2 and older; empty leaves the TLS library's own.",
    parse: ciphers,
    needs: { need: "ciphers", unless: "" },
  },
  "prefer-server-ciphers": {
    group: "TLS",
    short: "O",
    ...flag,
    help: "The server's order of ciphers counts, not the client's.",
    needs: { need: "preferServerCiphers", unless: "off" },
  },
  "write-ip": {
    group: "Prefix to the backend",
    ...flag,
    help: "Write the client's address first: a byte 2 and 4 bytes, or a byte 10 and 16 bytes.",
    choice: "prefix",
  },
  "write-proxy": {
    group: "Prefix to the backend",
    ...flag,
    help: "Write a PROXY protocol version 1 header first.",
    choice: "prefix",
  },
  "write-proxy-v2": {
    group: "Prefix to the backend",
    ...flag,
    help: "Write a PROXY protocol version 2 header first, with what is known of the TLS session.",
    choice: "prefix",
  },
  "ssl-handshake-timeout": {
    group: "Time limits",
    argument: "SECONDS",
    default: "30",
    help: "From accept to the end of the TLS handshake.",
    parse: seconds,
  },
  "backend-connect-timeout": {
    group: "Time limits",
    argument: "SECONDS",
    default: "30",
    help: "From the end of the handshake until the backend is connected.",
    parse: seconds,
  },
  "half-close-timeout": {
    group: "Time limits",
    argument: "SECONDS",
    default: "60",
    help: "Silence allowed on a connection that one side has ended.",
    parse: seconds,
  },
  "quiet": { group: "Log", short: "q", ...flag, help: "Log errors only; the same as -L 0." },
  "log-level": {
    group: "Log",
    short: "L",
    argument: "0|1|2",
    default: "1",
    help: "0 logs errors, 1 also failed connections and the life of workers, 2 every connection.",
    parse: logLevel,
  },
  "log-format": {
    group: "Log",
    argument: "text|json",
    default: "text",
    help: "One line of text or one JSON object for each event.",
    parse: logFormat,
  },
  "test": {
    group: "Actions",
    short: "t",
    help: "Check the options and the PEM files, start nothing.",
    choice: "action",
  },
  "demo": {
    group: "Actions",
    help: "Serve a demonstration backend with a certificate made on the spot.",
    choice: "action",
  },
  "default-config": { group: "Actions", help: "Print a configuration file with these settings." },
  "version": { group: "Actions", short: "V", help: "Print the versions of stud and its parts." },
  "help": { group: "Actions", short: "h", help: "Print this text." },
  "config": later({ argument: "FILE", help: "Read a configuration file." }),
  "client": later({ optional: true, help: "Accept plain connections, speak TLS to the backend." }),
  "ssl-engine": later({ short: "e", argument: "NAME", help: "Use an OpenSSL engine." }),
  "shared-cache": later({ short: "C", argument: "N", help: "Share N sessions among workers." }),
  "shared-cache-listen": later({
    short: "U",
    argument: "HOST,PORT",
    help: "Take cache updates from other machines.",
  }),
  "shared-cache-peer": later({
    short: "P",
    argument: "HOST,PORT",
    help: "Send cache updates to another machine.",
  }),
  "shared-cache-if": later({
    short: "M",
    argument: "IFACE[,TTL]",
    help: "The interface for multicast cache updates.",
  }),
  "chroot": later({ short: "r", argument: "DIR", help: "Confine the process to a directory." }),
  "user": later({ short: "u", argument: "USER", help: "Run as this user." }),
  "group": later({ short: "g", argument: "GROUP", help: "Run as this group." }),
  "syslog": later({ short: "s", optional: true, help: "Log to syslog as well." }),
  "syslog-facility": later({ argument: "NAME", help: "The facility for syslog." }),
  "daemon": later({ optional: true, help: "Go to the background." }),
  "proxy-proxy": later({ optional: true, help: "Pass on the PROXY header that a client sends." }),
} satisfies Record<string, Option>;

/** The long name of an option. */
export type OptionName = keyof typeof options;

/** The options that hold a value, as opposed to actions and to those of a later version. */
export type SettingName = {
  [N in OptionName]: (typeof options)[N] extends { parse: unknown } ? N : never;
}[OptionName];

/** The value of each setting, by long name. */
export type Settings = {
  [N in SettingName]:
    | ReturnType<(typeof options)[N]["parse"]>
    | ((typeof options)[N]["default"] extends string ? never : undefined);
};

/** Every option with its name, in the order of help. */
export const rows: readonly (readonly [OptionName, Option])[] = Object.entries(
  options,
) as [OptionName, Option][];

/** The settings when nothing is given. */
export function defaultSettings(): Settings {
  const settings = rows
    .filter(([, option]) => option.parse)
    .map(([name, { parse, default: text }]) => [name, text === undefined ? text : parse?.(text)]);
  return Object.fromEntries(settings);
}

function later<O extends Omit<Option, "group" | "later">>(option: O): O & Option {
  return { ...option, group: "Not built yet", later: true };
}

function onOff(text: string): boolean {
  if (/^(on|yes|y|true|t|1)$/i.test(text)) return true;
  if (/^(off|no|n|false|f|0)$/i.test(text)) return false;
  throw new RangeError(`${JSON.stringify(text)} is neither on nor off; give one of these`);
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = positive(text, /^\d+$/, `${least} to ${most}`);
    if (value >= least && value <= most) return value;
    throw new RangeError(`${text} is out of range; give ${least} to ${most}`);
  };
}

function positive(text: string, form: RegExp, remedy: string): number {
  if (form.test(text) && Number(text) > 0) return Number(text);
  throw new RangeError(`${JSON.stringify(text)} is not a positive number; give ${remedy}`);
}

function ipAddresses(text: string): readonly string[] {
  const addresses = text.split(/[, ]+/).filter((address) => address !== "");
  for (const address of addresses) {
    if (ipFamily(address) !== 0) continue;
    throw new RangeError(
      `${JSON.stringify(address)} is not an IP address; write it as in 192.0.2.1,192.0.2.2`,
    );
  }
  return addresses;
}

function workers(text: string): number | "auto" {
  if (text === "auto") return text;
  const value = positive(text, /^\d+$/, "1 to 1024, or auto");
  if (value <= 1024) return value;
  throw new RangeError(`${text} is out of range; give 1 to 1024, or auto`);
}

function seconds(text: string): number {
  const value = positive(text, /^\d+(\.\d+)?$/, "seconds, as in 30 or 0.5");
  if (value <= 86400) return value;
  throw new RangeError(`${text} is more than a day; give at most 86400 seconds`);
}

function ciphers(text: string): string {
  if (/^[\w:,.+!@= -]*$/.test(text)) return text;
  throw new RangeError(
    `${JSON.stringify(text)} is not an OpenSSL cipher list; write it as in HIGH:!aNULL`,
  );
}

/** hitch's rule: a version counts wherever its name occurs, in any case and with any separator. */
function protocols(text: string): readonly Protocol[] {
  if (/SSLv3/i.test(text)) {
    throw new RangeError("SSLv3 no longer exists in any of these TLS libraries; remove it");
  }
  const known: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
  const named = known.filter((name) => text.toLowerCase().includes(name.toLowerCase()));
  const rest = text.replaceAll(/TLSv1\.[0-3]/gi, "");
  // "all -TLSv1.0" or "TLSv1.2-TLSv1.3" would not get what they mean, so they are refused.
  if (named.length > 0 && !/[\w!-]/.test(rest)) return named;
  throw new RangeError(
    `${JSON.stringify(text)} is not a list of TLS versions; name any of ${known.join(", ")}`,
  );
}

function logLevel(text: string): 0 | 1 | 2 {
  const level = ([0, 1, 2] as const).find((level) => String(level) === text);
  if (level !== undefined) return level;
  throw new RangeError(`${JSON.stringify(text)} is not a log level; give 0, 1 or 2`);
}

function logFormat(text: string): "text" | "json" {
  if (text === "text" || text === "json") return text;
  throw new RangeError(`${JSON.stringify(text)} is not a log format; give text or json`);
}
