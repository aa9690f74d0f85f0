/** The compared programs, and how each is configured to do the same work. */
import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { environment } from "../tests/support/commands.ts";
import type { Endpoint } from "../tests/support/endpoints.ts";
import { root, target } from "../tests/support/target.ts";

type Runtime = "bun" | "deno" | "node";

export type ProgramName =
  | Runtime
  | `${Runtime}-before`
  | `${Runtime}-admin`
  | "hitch"
  | "haproxy"
  | "nginx";

/** The task of a proxy: TLS 1.2 and 1.3, one certificate, one backend. */
export interface Task {
  /** Directory for a configuration file, if the program needs one. */
  readonly directory: string;
  /** The port to listen on, on all IPv4 addresses. */
  readonly port: number;
  readonly backend: Endpoint;
  /** A PEM file with key and certificate. */
  readonly certificate: string;
  /** Whether each backend connection begins with a PROXY protocol header. */
  readonly prefix: boolean;
  /** Worker processes or threads; absent: one. */
  readonly workers?: number;
}

export interface Program {
  readonly name: ProgramName;
  readonly title: string;
  /** A build of this repository. */
  readonly ours: boolean;
  /** The program that its ratios are to; absent: {@link BASE}. */
  readonly base?: ProgramName;
  /** The Unix socket of its admin endpoint, which is scraped every second. */
  adminSocket?(task: Task): string;
  /** Its TLS library supports X25519MLKEM768. */
  readonly postQuantum: boolean;
  /** Describes its `prefix` if that is not version 2 with the facts of the TLS session. */
  readonly prefixNote?: string;
  /** Name and version with its TLS library; undefined if not installed or built. */
  version(): string | undefined;
  /** The command that serves in the foreground. */
  command(task: Task): readonly string[];
}

/** The output directory of `npm run build`. */
const DIST = join(root, "dist");

/** The program that all others are compared with. */
export const BASE: ProgramName = "hitch";

export const programs: readonly Program[] = [
  ours("bun", "stud (Bun)", "dist-stud"),
  {
    ...ours("deno", "stud (Deno)", "dist-stud-deno"),
    prefixNote: "version 2, but without the TLS session's facts, which rustls does not report",
  },
  ours("node", "stud (Node)", "dist-stud-node"),
  {
    name: "hitch",
    title: "hitch",
    ours: false,
    postQuantum: false,
    version: () => firstLine("hitch", ["--version"]),
    command: (task) => ["hitch", `--config=${hitchConfig(task)}`],
  },
  {
    name: "haproxy",
    title: "HAProxy",
    ours: false,
    postQuantum: false,
    version: () => firstLine("haproxy", ["-v"], / (\d\S*) .*$/),
    command: (task) => ["haproxy", "-q", "-db", "-f", haproxyConfig(task)],
  },
  {
    name: "nginx",
    title: "nginx stream",
    ours: false,
    postQuantum: false,
    prefixNote: "version 1: nginx writes only that",
    version: () => streamModule() && firstLine("nginx", ["-v"], /version: (\S+)/),
    command: (task) => ["nginx", "-c", nginxConfig(task), "-g", "daemon off;"],
  },
];

/** Large enough that no load fills a queue; the programs' own defaults are 100 to 4096. */
const BACKLOG = 4096;

/** Slightly more connections than the largest workload opens. */
const CONNECTIONS = 8000;

/** Returns the builds of another version in `directory`, to compare with the current ones. */
export function earlierBuilds(directory: string): Program[] {
  return [
    ours("bun-before", "before (Bun)", "dist-stud", directory),
    ours("deno-before", "before (Deno)", "dist-stud-deno", directory),
    ours("node-before", "before (Node)", "dist-stud-node", directory),
  ];
}

/** Returns a build with the admin endpoint on. */
export function withAdmin(build: Program): Program {
  const adminSocket = ({ directory, port }: Task) => join(directory, `admin-${port}.sock`);
  return {
    ...build,
    name: `${build.name as Runtime}-admin`,
    title: build.title.replace("stud", "admin"),
    base: build.name,
    adminSocket,
    command: (task) => [...build.command(task), `--admin=${adminSocket(task)}`],
  };
}

function ours(name: ProgramName, title: string, build: Build, directory = DIST): Program {
  const command = target(build).command.map((word) => word.replace(DIST, directory));
  return {
    name,
    title,
    ours: true,
    postQuantum: true,
    version() {
      if (!existsSync(command.at(-1)!)) return undefined;
      return firstLine(command[0]!, [...command.slice(1), "--version"]);
    },
    command: ({ port, backend, certificate, prefix, workers = 1 }) => [
      ...command,
      ...[
        "-q",
        "-n",
        String(workers),
        "-B",
        String(BACKLOG),
        "-f",
        `0.0.0.0,${port}`,
        "-b",
        `${backend.host},${backend.port}`,
      ],
      ...(prefix ? ["--write-proxy-v2"] : []),
      certificate,
    ],
  };
}

type Build = "dist-stud" | "dist-stud-deno" | "dist-stud-node";

function hitchConfig({ directory, port, backend, certificate, prefix, workers = 1 }: Task): string {
  return write(directory, `hitch-${port}.conf`, [
    `frontend = "[0.0.0.0]:${port}"`,
    `backend = "[${backend.host}]:${backend.port}"`,
    `pem-file = "${certificate}"`,
    `workers = ${workers}`,
    `backlog = ${BACKLOG}`,
    `tls-protos = TLSv1.2 TLSv1.3`,
    `ocsp-dir = ""`,
    `log-level = 0`,
    ...(process.getuid!() === 0 ? [`user = "nobody"`] : []),
    ...(prefix ? [`write-proxy-v2 = on`] : []),
  ]);
}

function haproxyConfig(
  { directory, port, backend, certificate, prefix, workers = 1 }: Task,
): string {
  // The same facts of the session as in our header.
  const header = prefix ? " send-proxy-v2-ssl proxy-v2-options ssl-cipher,authority" : "";
  return write(directory, `haproxy-${port}.cfg`, [
    `global`,
    `  nbthread ${workers}`,
    `  maxconn ${CONNECTIONS}`,
    `defaults`,
    `  mode tcp`,
    `  timeout connect 30s`,
    `  timeout client 1h`,
    `  timeout server 1h`,
    `listen tls`,
    `  bind 0.0.0.0:${port} ssl crt ${certificate} ssl-min-ver TLSv1.2 backlog ${BACKLOG}`,
    `  server backend ${backend.host}:${backend.port}${header}`,
  ]);
}

function nginxConfig({ directory, port, backend, certificate, prefix, workers = 1 }: Task): string {
  return write(directory, `nginx-${port}.conf`, [
    `load_module ${streamModule()};`,
    `worker_processes ${workers};`,
    `pid ${join(directory, `nginx-${port}.pid`)};`,
    `error_log ${join(directory, `nginx-${port}.log`)};`,
    `events { worker_connections ${2 * CONNECTIONS}; }`,
    `stream {`,
    `  server {`,
    `    listen 0.0.0.0:${port} ssl backlog=${BACKLOG};`,
    `    ssl_certificate ${certificate};`,
    `    ssl_certificate_key ${certificate};`,
    `    ssl_protocols TLSv1.2 TLSv1.3;`,
    `    proxy_timeout 1h;`,
    ...(prefix ? [`    proxy_protocol on;`] : []),
    `    proxy_pass ${backend.host}:${backend.port};`,
    `  }`,
    `}`,
  ]);
}

/** Debian packages nginx's stream module as a separate file in a separate package. */
function streamModule(): string | undefined {
  const { stderr } = spawnSync("nginx", ["-V"], { env: environment, encoding: "utf8" });
  const directory = /--modules-path=(\S+)/.exec(stderr ?? "")?.[1];
  const file = join(directory ?? "/", "ngx_stream_module.so");
  return existsSync(file) ? file : undefined;
}

function write(directory: string, name: string, lines: readonly string[]): string {
  const file = join(directory, name);
  writeFileSync(file, lines.join("\n") + "\n");
  return file;
}

/**
 * Returns the first line that a program prints, or what `part` captures in it; undefined if the
 * program cannot be started.
 */
export function firstLine(
  program: string,
  args: readonly string[],
  part = /^(.*)$/,
): string | undefined {
  const options = { cwd: root, env: environment, encoding: "utf8" } as const;
  const { stdout, stderr, error } = spawnSync(program, args, options);
  if (error) return undefined;
  const line = (stdout || stderr).split("\n")[0]!.trim();
  return part.exec(line)?.[1] ?? line;
}
