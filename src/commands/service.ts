/** Finds the stud that a command is meant for, and its admin endpoint. */
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { basename, resolve } from "node:path";
import process from "node:process";
import { errorText } from "../base/error_text.ts";
import { UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import { parseAdmin } from "../options/address.ts";
import type { BackendAddress } from "../options/config.ts";
import { type Lookup, lookUp, lookUpInFile } from "../options/lookup.ts";
import { SubcommandError } from "../options/subcommand.ts";
import {
  DEFAULT_ADMIN_SOCKET,
  DEFAULT_PID_FILES,
  type EndpointOptions,
} from "../options/subcommands.ts";
import { ValueError } from "../options/values.ts";

/** A stud that was found; at least one of `address` and `pid` is known. */
export interface Service {
  /** Absent: it has no admin endpoint. */
  readonly address?: BackendAddress;
  /** Sent with each request. */
  readonly token?: string;
  /** The master's. */
  readonly pid?: number;
  /** Why its admin endpoint may be unknown. */
  readonly problem?: string;
  /** Where it was found, for messages. */
  readonly origin: string;
}

/** The defaults; tests replace them. */
export interface Defaults {
  readonly pidFiles: readonly string[];
  readonly socket: string;
}

const DEFAULTS: Defaults = { pidFiles: DEFAULT_PID_FILES, socket: DEFAULT_ADMIN_SOCKET };

/** Finds a stud as the options say, in the order that `stud help status` describes. Throws. */
export function findService(given: EndpointOptions, defaults: Defaults = DEFAULTS): Service {
  const { admin, config, pidfile } = given;
  const ways = (["admin", "config", "pidfile"] as const).filter((name) => given[name]);
  if (ways.length > 1) {
    throw new SubcommandError(
      `--${ways.join(" and --")}: each of them chooses the endpoint; give only one of them`,
    );
  }
  const tokenFile = given["admin-token-file"];
  const token = tokenFile === undefined ? {} : { token: readToken(tokenFile) };
  if (admin) return { address: reachable(admin), ...token, origin: "--admin" };
  if (config !== undefined) return { ...configured(config), ...token };
  if (pidfile !== undefined) return { ...running(pidfile), ...token };
  return { ...byDefault(defaults), ...token };
}

function configured(file: string): Service {
  const found = lookUpInFile(file, (path) => readFile(path).toString());
  const service = serviceOf(found, process.cwd(), file);
  if (service.address) return service;
  throw new SubcommandError(
    found.problems[0] ?? `--config: ${file}: it does not set admin; add it, or give --admin`,
  );
}

/** The stud of a pid file. Throws if that is not possible. */
function running(file: string): Service {
  const pid = readPid(file);
  const words = commandLineOf(pid);
  if (words === undefined) {
    throw new SubcommandError(
      `--pidfile: ${file}: process ${pid} is not a running stud; start it, or check the path`,
    );
  }
  return processService(pid, words, file);
}

/** Only a pid file whose process is a stud counts; others are what a crash has left. */
function byDefault({ pidFiles, socket }: Defaults): Service {
  let withoutEndpoint: Service | undefined;
  for (const file of pidFiles.filter((file) => existsSync(file))) {
    const pid = readPid(file);
    const words = commandLineOf(pid);
    if (words === undefined) continue;
    const service = processService(pid, words, file);
    if (service.address) return service;
    withoutEndpoint ??= service;
  }
  if (existsSync(socket)) return { address: { path: socket }, origin: "the default socket" };
  if (withoutEndpoint) return withoutEndpoint;
  throw new SubcommandError(
    `no running stud was found: neither ${pidFiles.join(" nor ")} nor ${socket} leads to one; ` +
      "start stud with --admin=/run/stud/admin.sock, or give --admin, --config or --pidfile",
  );
}

function processService(pid: number, words: readonly string[], origin: string): Service {
  const { dialect, argv } = argumentsOf(words);
  const directory = workingDirectoryOf(pid);
  const absolute = (path: string) => {
    if (directory !== undefined || path.startsWith("/")) return resolve(directory ?? "/", path);
    throw new UsageError(
      `${path}: the working directory of process ${pid} cannot be read; run this as its user`,
    );
  };
  // Standard input was another one.
  const found = lookUp(
    argv,
    dialect,
    (path) => path === "-" ? "" : readFile(absolute(path)).toString(),
  );
  const service = { ...serviceOf(found, directory ?? "/", origin), pid };
  const [problem] = found.problems;
  return service.address || problem === undefined ? service : { ...service, problem };
}

function serviceOf({ values }: Lookup, directory: string, origin: string): Service {
  const text = values.get("admin");
  if (text === undefined) return { origin };
  const tokenFile = values.get("admin-token-file");
  try {
    const parsed = parseAdmin(text, "stud");
    if (!parsed) return { origin };
    const address = reachable(parsed);
    if (tokenFile === undefined || "path" in address) return { address, origin };
    return { address, token: readToken(resolve(directory, tokenFile)), origin };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new SubcommandError(`${origin}: admin: ${error.message}`);
  }
}

/** What listens on every address of this machine is asked on the loopback address. */
function reachable(address: BackendAddress): BackendAddress {
  if ("path" in address) return address;
  if (address.host === "::") return { ...address, host: "::1" };
  const isEvery = address.host === "*" || address.host === "0.0.0.0";
  return isEvery ? { ...address, host: "127.0.0.1" } : address;
}

/** Returns the token in a file, without spaces and newlines around it. Throws a UsageError. */
function readToken(file: string): string {
  const token = readFile(file, { maxBytes: 4096, also: "pipe" }).toString().trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new SubcommandError(
    `--admin-token-file: ${file}: it is not a token of visible ASCII characters; check the path`,
  );
}

function readPid(file: string): number {
  const text = readFile(file, { maxBytes: 32 }).toString().trim();
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new SubcommandError(`--pidfile: ${file}: its contents are not a pid; check the path`);
}

/** Returns the words of a running stud's command line; undefined for any other process. */
function commandLineOf(pid: number): readonly string[] | undefined {
  try {
    if (readFileSync(`/proc/${pid}/comm`, "utf8") !== "stud\n") return undefined;
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    return words.length > 0 ? words : undefined;
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw new SubcommandError(`process ${pid} cannot be examined: ${errorText(error)}`);
  }
}

/**
 * Where relative paths of its command line begin. A daemon has left that directory, but its PWD names it.
 * Undefined without the permission, which only the process' user and root have.
 */
function workingDirectoryOf(pid: number): string | undefined {
  try {
    const directory = readlinkSync(`/proc/${pid}/cwd`);
    if (directory !== "/") return directory;
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    return /(?:^|\0)PWD=(\/[^\0]*)/.exec(environment)?.[1] ?? directory;
  } catch {
    return undefined;
  }
}

/** Separates the program, and the script that a runtime runs, from the user's arguments. */
export function argumentsOf(
  [program = "", ...words]: readonly string[],
): { readonly dialect: "stud" | "hitch"; readonly argv: readonly string[] } {
  const name = basename(program);
  const script = /^(bun|deno|node)$/.test(name)
    ? words.findIndex((word) => /\.m?[jt]s$/.test(word))
    : -1;
  return { dialect: name === "hitch" ? "hitch" : "stud", argv: words.slice(script + 1) };
}
