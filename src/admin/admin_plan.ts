/** The admin endpoint of a configuration, with its host resolved and its token read. */
import { createHash } from "node:crypto";
import { forOption, UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import { formatEndpoint } from "../options/address.ts";
import type { Reads } from "../options/config.ts";
import { ipBytes, ipFamily } from "../os/ip.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Libc } from "../os/libc.ts";
import type { Privileges } from "../system/ids.ts";
import { resolveOrKeep } from "../system/resolve.ts";

export type AdminConfig = Reads<"admin.address" | "admin.allowRemote" | "admin.tokenFile">;

export interface AdminPlan {
  /** A name can have several addresses. */
  readonly endpoints: readonly Endpoint[];
  /** `*` as its host: an IPv6 wildcard also accepts IPv4. */
  readonly dualStack: boolean;
  readonly access: AdminAccess;
  /** The identity of the helper; absent: the master's. */
  readonly privileges?: Privileges;
}

/** Who may use the endpoint. */
export interface AdminAccess {
  /** SHA-256 of the token in base64; absent: no token is required. */
  readonly tokenHash?: string;
  /** The host name in `--admin`, in lower case, which clients may use besides numeric addresses. */
  readonly host?: string;
}

/** Shorter tokens can be guessed. */
const MIN_TOKEN = 16;
const MAX_TOKEN = 4096;

/**
 * Returns undefined if no endpoint is configured. Throws a UsageError if its address can be reached
 * from other machines without permission, or if the token cannot be used.
 */
export async function planAdmin(
  libc: Libc,
  { admin: { address, allowRemote, tokenFile } }: AdminConfig,
  privileges: Privileges | undefined,
  warnings: string[],
): Promise<AdminPlan | undefined> {
  if (!address) return undefined;
  const identity = privileges ? { privileges } : {};
  // The mode of a socket's file decides who may connect.
  const isPrivate = "path" in address && !address.path.startsWith("@");
  const hasToken = tokenFile !== "" && !isPrivate;
  const tokenHash = hasToken ? readTokenHash(tokenFile, warnings) : undefined;
  const token = tokenHash === undefined ? {} : { tokenHash };
  if ("path" in address) {
    const endpoint = { family: "unix", path: address.path } as const;
    return { endpoints: [endpoint], dualStack: false, access: token, ...identity };
  }
  const endpoints = await resolveOrKeep(libc, address, "--admin", warnings);
  const remote = endpoints.find((endpoint) => !isLoopback(endpoint));
  if (remote) checkRemote(address.host, remote, allowRemote, hasToken, warnings);
  const isName = address.host !== "*" && ipFamily(address.host.split("%")[0]!) === 0;
  return {
    endpoints,
    dualStack: address.host === "*",
    access: {
      ...token,
      ...(isName ? { host: address.host.toLowerCase() } : {}),
    },
    ...identity,
  };
}

/** 127.0.0.0/8 or ::1 (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3). */
function isLoopback({ family, address }: IpEndpoint): boolean {
  if (family === 4) return address.startsWith("127.");
  return !address.includes("%") && ipBytes(address).every((byte, i) => byte === (i < 15 ? 0 : 1));
}

function checkRemote(
  host: string,
  endpoint: IpEndpoint,
  isAllowed: boolean,
  hasToken: boolean,
  warnings: string[],
): void {
  const shown = formatEndpoint(endpoint);
  const what = host === "*" ? "* is every address of this machine" : `${shown} is not a loopback ` +
    "address";
  if (!isAllowed) {
    throw new UsageError(
      `--admin: ${what}; use a Unix socket or 127.0.0.1, or allow others with ` +
        "--admin-allow-remote and --admin-token-file",
    );
  }
  if (!hasToken) {
    throw new UsageError(
      `--admin-allow-remote: ${what}, so clients need a token; specify one with ` +
        "--admin-token-file",
    );
  }
  warnings.push(
    `--admin: clients send the token to ${shown} without encryption; use it only in a network ` +
      "that you trust",
  );
}

/** Throws a UsageError, which never quotes the token. */
function readTokenHash(path: string, warnings: string[]): string {
  const fail = (reason: string): never => {
    throw new UsageError(`--admin-token-file: ${path}: ${reason}`);
  };
  const bytes = forOption("--admin-token-file", () =>
    readFile(path, {
      maxBytes: MAX_TOKEN,
      expected: "a file with a token",
      onExposed: () =>
        warnings.push(
          `--admin-token-file: ${path}: others can read it; restrict it with: chmod 600 ${path}`,
        ),
    }));
  const token = bytes.toString("latin1").replace(/[\r\n]+$/, "");
  bytes.fill(0);
  if (token === "") fail("it is empty; write a token to it, as made by: openssl rand -hex 16");
  if (!/^[\x21-\x7e]+$/.test(token)) {
    fail("the token must be one line of ASCII characters without spaces");
  }
  if (token.length < MIN_TOKEN) {
    fail(`${token.length} characters are too few for a token; use at least ${MIN_TOKEN}`);
  }
  return createHash("sha256").update(token).digest("base64");
}
