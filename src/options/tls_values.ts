/** Parsers of the values of TLS options, as in `values.ts`. */
import type { Protocol } from "../runtime/tls.ts";
import { ValueError } from "./values.ts";
import { isConfigName, quote } from "./words.ts";

/** Parses an OpenSSL cipher list. */
export function ciphers(text: string): string {
  if (isConfigName(text) || /^[^:]*\/[^:]*$/.test(text)) {
    throw new ValueError(
      `${quote(text)} is not a cipher list (-c means --ciphers); to read a configuration file, ` +
        `use --config=${text}`,
    );
  }
  if (/^[\w:,;.+!@= -]*$/.test(text)) return text;
  throw new ValueError(
    `${quote(text)} is not an OpenSSL cipher list; for example, use HIGH:!aNULL`,
  );
}

/** Parses TLS 1.3 cipher suites, separated by colons. */
export function ciphersuites(text: string): string {
  if (/^[\w:]*$/.test(text)) return text;
  throw new ValueError(
    `${quote(text)} is not a list of TLS 1.3 cipher suites; ` +
      "for example, use TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
  );
}

/** Parses groups, separated by colons, in OpenSSL's syntax, or `auto`. */
export function curves(text: string): string {
  if (/^[\w:.?*/-]+$/.test(text)) return text;
  throw new ValueError(
    `${quote(text)} is not a list of groups; for example, use X25519:P-256, or auto`,
  );
}

/** Parses protocol names of 1 to 255 bytes (RFC 7301 section 3.1), separated by commas. */
export function alpnProtocols(text: string): readonly string[] {
  const names = text.replaceAll(/\s/g, "").replace(/,$/, "").split(",");
  if (names.length === 1 && names[0] === "") return [];
  const original = `alpn-protos configuration "${text}" is bad.`;
  // No registered name has any of these (IANA, TLS ALPN Protocol IDs).
  if (/[^\s,]\s+[^\s,]|[;:|]/.test(text)) {
    const list = text.split(/[\s,;:|]+/).filter((name) => name !== "").join(",");
    throw new ValueError(
      `${quote(text)} is not a list; separate names with commas: ${list}`,
      original,
    );
  }
  if (names.includes("")) {
    throw new ValueError(
      `alpn-protos has empty proto in list ${quote(text)}; remove a comma`,
      original,
    );
  }
  const long = names.find((name) => new TextEncoder().encode(name).length > 255);
  if (long === undefined) return names;
  throw new ValueError(`${quote(long)} is longer than 255 bytes; use a protocol's name`, original);
}

/** A version that can be named; those of SSL exist in no build. */
export type NamedVersion = Protocol | "SSLv2" | "SSLv3";

const versions: readonly Protocol[] = ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const named: readonly NamedVersion[] = ["SSLv2", "SSLv3", ...versions];

/** Parses TLS versions as hitch does: a name counts wherever it occurs, in any case. */
export function protocols(text: string): readonly NamedVersion[] {
  const original = `Invalid 'tls-protos' option '${text}'`;
  const found = named.filter((name) => text.toLowerCase().includes(name.toLowerCase()));
  const rest = text.replaceAll(/TLSv1\.[0-3]|SSLv[23]/gi, "");
  // "all -TLSv1.0" or "TLSv1.2-TLSv1.3" would not have their apparent meaning, so they are refused.
  if (found.length === 0 || /[\w!-]/.test(rest)) {
    throw new ValueError(
      `${quote(text)} is not a list of TLS versions; use any of ${versions.join(", ")}`,
      original,
    );
  }
  if (found.some((name) => name.startsWith("TLS"))) return found;
  throw new ValueError(
    `${found.join(" and ")} no longer exists in any of these TLS libraries; ` +
      `use any of ${versions.join(", ")}`,
    original,
  );
}
