/**
 * What BoringSSL and OpenSSL make of the lists that users write. Names that a library does not know
 * are passed over, as OpenSSL does with ciphers; only a list of which nothing is left is an error.
 */
import {
  type CipherRule,
  cipherRules,
  isHistorical,
  isPolicy,
  TLS13_SUITES,
} from "./cipher_list.ts";
import { isKnown } from "./openssl.ts";
import type { PassedOver, Protocol, TlsParameters } from "./tls.ts";

/** How the two libraries differ. */
export interface ListLibrary {
  readonly title: "BoringSSL" | "OpenSSL";
  /** `@SECLEVEL=2` is a command of cipher lists. */
  readonly hasLevels: boolean;
  /** Classes that it does not know, or that have more ciphers here, as items with the same ciphers. */
  readonly classes: Readonly<Record<string, readonly string[]>>;
  /** Whether groups can be written as in `?X25519`, `*X25519/P-256`, `DEFAULT`, `-P-256`. */
  readonly hasGroupSyntax: boolean;
  /** Other names of groups. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** A list as the library takes it, and what was passed over. */
export interface FittedList {
  readonly items: readonly string[];
  /** With the reasons, as in `RC4-SHA (unknown to OpenSSL)`; "" if nothing was passed over. */
  readonly passedOver: string;
}

/**
 * Fits an OpenSSL cipher list for TLS 1.2 and older. An unknown exclusion is named only if no
 * OpenSSL ever had such ciphers, so that it may be a mistake: any other excludes what this library
 * cannot offer anyway. Throws an Error if no item is left, or one demands what the library lacks.
 */
export function fitCiphers(list: string, library: ListLibrary): FittedList {
  const { title } = library;
  const items: string[] = [];
  const unknown: string[] = [];
  const modern: string[] = [];
  const others: string[] = [];
  for (const rule of cipherRules(list)) {
    const { text, operator, terms } = rule;
    const spelled = spellings(rule, library).filter((ciphers) => isKnown({ ciphers }));
    if (operator === "@") {
      if (text === "@STRENGTH" || (library.hasLevels && isLevel(text))) items.push(text);
      else if (!isLevel(text)) throw new Error(`${text} is not a command of cipher lists`);
      else if (text <= HIGHEST_COMMON_LEVEL) others.push(`${text} (${title} has no such levels)`);
      else throw new Error(`${title} has no security levels, so ${text} needs the Node build`);
    } else if (isPolicy(rule)) {
      items.push(...SECURE_CIPHERS);
      others.push(`${text} (the default list stands for it)`);
    } else if (terms.some((term) => TLS13_SUITES.includes(term))) {
      modern.push(text);
    } else if (spelled.length > 0) {
      items.push(
        ...spelled.map((item) => item.replace(/^,?/, (separator) => `${separator}${operator}`)),
      );
    } else if (operator === "") {
      unknown.push(text);
    } else if (!terms.every(isHistorical)) {
      others.push(`${text} (${operator === "+" ? "moves" : "excludes"} nothing)`);
    }
  }
  const passedOver = [
    ...named(unknown, `unknown to ${title}`),
    ...named(modern, "of TLS 1.3, which this list does not affect"),
    ...others,
  ].join(", ");
  if (items.length === 0) {
    throw new Error(`nothing is left of it${passedOver === "" ? "" : `: ${passedOver}`}`);
  }
  return { items, passedOver };
}

/** Fits a list of TLS 1.3 cipher suites. Throws an Error if none is left. */
export function fitSuites(list: string, { title }: ListLibrary): FittedList {
  const all = listed(list, ":");
  return fitted(all, (suite) => TLS13_SUITES.includes(suite) && isKnown({ ciphers: suite }), title);
}

/** Fits a list of groups in OpenSSL's syntax. Throws an Error if none is left. */
export function fitGroups(list: string, library: ListLibrary): FittedList {
  const { title, hasGroupSyntax, groups } = library;
  const isGroup = (name: string) => isKnown({ ecdhCurve: name });
  if (hasGroupSyntax) {
    const unknown: string[] = [];
    const isUsable = (written: string) => {
      const isLeft = isGroup(written.replace(/^[?*-]+/, ""));
      if (!isLeft && !/^[*]?[?-]/.test(written)) unknown.push(written);
      return isLeft;
    };
    const items = listed(list, ":").map((tuple) => listed(tuple, "/").filter(isUsable).join("/"))
      .filter((tuple) => tuple !== "");
    return whole(items, named(unknown, `unknown to ${title}`).join(", "));
  }
  const chosen: string[] = [];
  const unknown: string[] = [];
  for (const written of list.split(/[:/]/).filter((name) => name !== "")) {
    const [, prefix = "", name = ""] = /^([?*-]*)(.*)$/.exec(written)!;
    const meant = (groups[name.toLowerCase()] ?? [name]).filter(isGroup);
    if (meant.length === 0 && !/[?-]/.test(prefix)) unknown.push(written);
    for (const group of meant) {
      const place = chosen.indexOf(group);
      if (prefix.includes("-") && place >= 0) chosen.splice(place, 1);
      else if (!prefix.includes("-") && place < 0) chosen.push(group);
    }
  }
  return whole(chosen, named(unknown, `unknown to ${title}`).join(", "));
}

/** Fits all lists, for messages. BoringSSL's suites of TLS 1.3 are fixed. Throws as the functions above. */
export function passedOverBy(
  library: ListLibrary,
  { ciphers, ciphersuites, curves }: Pick<TlsParameters, keyof PassedOver>,
): PassedOver {
  return {
    ciphers: ciphers === "" ? "" : fitCiphers(ciphers, library).passedOver,
    ciphersuites: ciphersuites === "" || library.title === "BoringSSL"
      ? ""
      : fitSuites(ciphersuites, library).passedOver,
    curves: curves === "" ? "" : fitGroups(curves, library).passedOver,
  };
}

/**
 * Returns the items of the cipher list of `settings`, or of the default for TLS 1.2. Empty if the
 * default must serve older versions too, which have no cipher in it: then the library's default
 * applies.
 */
export function cipherItems(
  { ciphers, protocols }: TlsParameters,
  library: ListLibrary,
): readonly string[] {
  if (cipherRules(ciphers).length > 0) return fitCiphers(ciphers, library).items;
  return hasOldVersion(protocols) ? [] : SECURE_CIPHERS;
}

/** Whether TLS 1.0 or 1.1 is among them. */
export function hasOldVersion(protocols: readonly Protocol[]): boolean {
  return protocols.some((protocol) => protocol < "TLSv1.2");
}

/** Splits a list, and drops empty items. */
export function listed(list: string, separator: string): string[] {
  return list.split(separator).filter((item) => item !== "");
}

/** The level of OpenSSL's default, all demands of which are met without levels too. */
const HIGHEST_COMMON_LEVEL = "@SECLEVEL=2";

function isLevel(command: string): boolean {
  return /^@SECLEVEL=[0-5]$/.test(command);
}

/**
 * Returns what an item with these names, of which all must apply, is in the library's terms; the
 * first answer may be unknown to it. A class that only full names of ciphers express cannot be
 * combined: then it is excluded as a whole, or not added. node:tls would take an item that begins
 * with `TLS_` for a suite of TLS 1.3, so a separator precedes it.
 */
function spellings({ operator, terms }: CipherRule, { classes }: ListLibrary): string[] {
  const renamed = terms.find((term) => Object.hasOwn(classes, term));
  if (renamed === undefined) return [terms.join("+").replace(/^TLS_/, ",$&")];
  const others = terms.filter((term) => term !== renamed);
  if (!others.every(isHistorical)) return [];
  return classes[renamed]!.flatMap((name) => {
    if (others.length === 0 || !name.includes("-")) return [[name, ...others].join("+")];
    return operator === "!" || operator === "-" ? [name] : [];
  });
}

function fitted(
  all: readonly string[],
  isUsable: (name: string) => boolean,
  title: string,
): FittedList {
  const unknown = all.filter((name) => !isUsable(name));
  return whole(all.filter(isUsable), named(unknown, `unknown to ${title}`).join(", "));
}

function whole(items: readonly string[], passedOver: string): FittedList {
  if (items.length > 0) return { items, passedOver };
  throw new Error(`nothing is left of it${passedOver === "" ? "" : `: ${passedOver}`}`);
}

function named(names: readonly string[], reason: string): string[] {
  return names.length === 0 ? [] : [`${[...new Set(names)].join(", ")} (${reason})`];
}

/**
 * Forward secrecy and authenticated encryption only, in the server's order of preference. Those with
 * DHE need DH parameters; BoringSSL does not know them and skips them.
 */
const SECURE_CIPHERS: readonly string[] = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "DHE-RSA-AES128-GCM-SHA256",
  "DHE-RSA-AES256-GCM-SHA384",
  "DHE-RSA-CHACHA20-POLY1305",
];
