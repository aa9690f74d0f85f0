/** h2load (nghttp2): counted requests over HTTP/1.1, each verified by its status. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Endpoint } from "../../tests/support/endpoints.ts";
import { CIPHERS, GROUPS, opensslConfiguration, runLoad, type Version } from "./command.ts";

export interface H2loadOptions {
  /** Directory for its log and its configuration. */
  readonly directory: string;
  readonly version: Version;
  readonly connections: number;
  readonly path: string;
  /** Additional h2load options. */
  readonly args: readonly string[];
}

/** What it counted; everything else has been checked. */
export interface H2loadResult {
  /** Number of answers with status 2xx. */
  readonly answers: number;
  /** Total bytes of their bodies. */
  readonly bytes: number;
}

/**
 * Runs h2load. Throws an Error unless every request was answered with 2xx, with the requested TLS
 * version, cipher and group.
 */
export async function h2load(at: Endpoint, options: H2loadOptions): Promise<H2loadResult> {
  const { directory, version, connections, path, args } = options;
  const output = await runLoad("h2load", [
    ...["--h1", "-c", String(connections), `--groups=${GROUPS}`],
    `--tls13-ciphers=${CIPHERS["TLSv1.3"]}`,
    `--ciphers=${CIPHERS["TLSv1.2"]}`,
    // The name is sent as SNI, as browsers do.
    `--connect-to=${at.host}:${at.port}`,
    ...args,
    `https://localhost:${at.port}${path}`,
  ], opensslConfiguration(directory, version));
  return read(output, version);
}

function read(output: string, version: Version): H2loadResult {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? NaN);
  const answers = number(/^status codes: (\d+) 2xx/m);
  const failed = number(/ (\d+) failed,/) + number(/ (\d+) errored,/) + number(/ (\d+) timeout$/m);
  if (!(answers > 0) || failed !== 0 || !/ 0 3xx, 0 4xx, 0 5xx$/m.test(output)) {
    const lines = output.match(/^(requests|status codes): .*$/gm) ?? [];
    throw new Error(`h2load: not every request succeeded: ${lines.join("; ") || "no summary"}`);
  }
  const expected = {
    "TLS Protocol": version,
    "Server Temp Key": "X25519 253 bits",
  };
  for (const [what, value] of Object.entries(expected)) {
    const seen = new RegExp(`^${what}: (.*)$`, "m").exec(output)?.[1];
    if (seen !== value) throw new Error(`h2load: ${what} is ${seen}, not ${value}`);
  }
  const cipher = /^Cipher: (.*)$/m.exec(output)?.[1] ?? "none";
  if (!CIPHERS[version].split(":").includes(cipher)) {
    throw new Error(`h2load: the cipher is ${cipher}`);
  }
  return { answers, bytes: number(/headers .*\((\d+)\) data$/m) };
}

/** One line of h2load's log. */
export interface Request {
  /** Time at which its answer was complete, in milliseconds since 1970. */
  readonly ended: number;
  /** Time from its start until then, in microseconds. */
  readonly latency: number;
}

/** Runs h2load with a log of each request; returns the requests. */
export async function h2loadWithLog(at: Endpoint, options: H2loadOptions): Promise<Request[]> {
  const log = join(options.directory, "h2load.log");
  rmSync(log, { force: true });
  await h2load(at, { ...options, args: [...options.args, `--log-file=${log}`] });
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.map((line) => {
    const [start, , latency] = line.split("\t").map(Number);
    return { ended: (start! + latency!) / 1000, latency: latency! };
  });
}
