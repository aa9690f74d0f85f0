/** Which requests are refused before they are looked at any further. */
import { createHash, timingSafeEqual } from "node:crypto";
import { RecentMap } from "../../base/recent_map.ts";
import { ipFamily } from "../../os/ip.ts";
import type { AdminAccess } from "../admin_plan.ts";

/** The parts of a request that decide. */
export interface Asked {
  readonly method: string;
  /** As the client sent it. */
  readonly target: string;
  /** `1.1`. */
  readonly version: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** Of the client; "" for one of a Unix socket. */
  readonly address: string;
  readonly isUnix: boolean;
}

export interface Refusal {
  readonly code: number;
  readonly error: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** The client sent a token that is wrong. */
  readonly isWrongToken?: boolean;
  /** The connection is closed after the answer. */
  readonly isLast?: boolean;
}

/** Wrong tokens of one address each second that do not cost it the connection. */
const MAX_ATTEMPTS = 10;
/** Addresses whose wrong tokens are counted. */
const MAX_ADDRESSES = 1024;

const BROWSERS = "requests from pages of other sites are refused";

/** Checks requests against what the master allows. */
export class AccessCheck {
  access: AdminAccess = {};
  private readonly attempts = new RecentMap<string, { second: number; count: number }>(
    MAX_ADDRESSES,
  );
  private readonly now: () => number;

  /** `now` returns milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** Undefined if the request is allowed. */
  refusal(asked: Asked): Refusal | undefined {
    return formFault(asked) ?? this.hostFault(asked) ?? originFault(asked) ??
      this.tokenFault(asked);
  }

  /**
   * A page whose name leads to a loopback address (DNS rebinding) has its own name in Host. Whoever has
   * the token is no such page, and no browser connects to a Unix socket.
   */
  private hostFault({ isUnix, version, rawHeaders }: Asked): Refusal | undefined {
    const { tokenHash, host: configured } = this.access;
    if (isUnix || tokenHash !== undefined) return undefined;
    const [host] = valuesOf(rawHeaders, "host");
    // Health checks may be HTTP/1.0; browsers are not.
    if (host === undefined && version === "1.0") return undefined;
    const name = (host ?? "").replace(/:\d*$/, "").toLowerCase();
    const isNumeric = ipFamily(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
    if (isNumeric || name === "localhost" || name === configured) return undefined;
    return {
      code: 421,
      error: "the Host header does not name this endpoint; use its address, or localhost",
    };
  }

  private tokenFault({ address, rawHeaders }: Asked): Refusal | undefined {
    const { tokenHash } = this.access;
    if (tokenHash === undefined) return undefined;
    const [header] = valuesOf(rawHeaders, "authorization");
    const challenge = { "WWW-Authenticate": ['Bearer realm="stud"', 'Basic realm="stud"'] };
    if (header === undefined) {
      return { code: 401, error: "a token is required", headers: challenge };
    }
    const hash = createHash("sha256").update(tokenOf(header)).digest();
    // First, since programs with a wrong token and with the right one may share an address.
    if (timingSafeEqual(hash, Buffer.from(tokenHash, "base64"))) return undefined;
    const second = Math.floor(this.now() / 1000);
    const before = this.attempts.get(address);
    const count = before?.second === second ? before.count : 0;
    this.attempts.set(address, { second, count: count + 1 });
    if (count < MAX_ATTEMPTS) {
      return { code: 401, error: "the token is wrong", headers: challenge, isWrongToken: true };
    }
    // Each further attempt costs a connection.
    const error = "too many wrong tokens; wait a second";
    const headers = { "Retry-After": "1" };
    return { code: 429, error, headers, isWrongToken: true, isLast: true };
  }
}

/** What is not a request that this endpoint could be meant to answer. */
function formFault({ target, version, rawHeaders }: Asked): Refusal | undefined {
  const count = (name: string) => valuesOf(rawHeaders, name).length;
  if (version !== "1.1" && version !== "1.0") {
    return { code: 505, error: "only HTTP/1.1 and HTTP/1.0 are supported" };
  }
  // Absolute forms are for proxies (RFC 9112 section 3.2.2), and their host would replace Host.
  if (!target.startsWith("/")) return { code: 400, error: "the target must begin with /" };
  const hosts = count("host");
  // RFC 9112 section 3.2.
  if (hosts > 1 || (hosts === 0 && version === "1.1")) {
    return { code: 400, error: "exactly one Host header is required" };
  }
  // RFC 9112 section 6.1: how such a message ends is ambiguous.
  if (count("transfer-encoding") > 0 && count("content-length") > 0) {
    return { code: 400, error: "Content-Length and Transfer-Encoding exclude each other" };
  }
  if (count("authorization") > 1) {
    return { code: 400, error: "only one Authorization header is allowed" };
  }
  return undefined;
}

/**
 * Browsers say where a request comes from: `Sec-Fetch-Site`, and for POST also `Origin`. Other clients
 * send neither. A page of another site may only be left for ours.
 */
function originFault({ method, rawHeaders }: Asked): Refusal | undefined {
  const [origin] = valuesOf(rawHeaders, "origin");
  const [host = ""] = valuesOf(rawHeaders, "host");
  const [site] = valuesOf(rawHeaders, "sec-fetch-site");
  const [mode] = valuesOf(rawHeaders, "sec-fetch-mode");
  const isReading = method === "GET" || method === "HEAD";
  const isVisit = isReading && mode === "navigate";
  const isSameSite = site === undefined || site === "same-origin" || site === "none" || isVisit;
  const isSameOrigin = origin === undefined ||
    origin.toLowerCase() === `http://${host}`.toLowerCase();
  return isSameSite && isSameOrigin ? undefined : { code: 403, error: BROWSERS };
}

/** The token of a bearer, or the password of basic authentication (RFC 6750, RFC 7617). */
function tokenOf(header: string): string {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+) *$/.exec(header) ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  if (scheme.toLowerCase() !== "basic") return "";
  return Buffer.from(value, "base64").toString("latin1").replace(/^[^:]*:?/, "");
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name);
}
