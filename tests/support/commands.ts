/** Third-party programs that the tests run as peers. */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { within } from "./until.ts";

export type Peer =
  | "chromium"
  | "curl"
  | "jq"
  | "openssl"
  | "nginx"
  | "haproxy"
  | "strace"
  | "ss"
  | "man"
  | "prometheus"
  | "promtool"
  | "sslscan"
  | "testssl"
  | "redis-server"
  | "tmux"
  | "systemd-analyze";

/** Debian installs servers in directories that are not in an ordinary user's PATH. */
export const environment = {
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin`,
};

const versionFlags: Record<Peer, string> = {
  chromium: "--version",
  curl: "--version",
  jq: "--version",
  openssl: "version",
  nginx: "-v",
  haproxy: "-v",
  strace: "-V",
  ss: "-V",
  man: "--version",
  prometheus: "--version",
  promtool: "--version",
  "systemd-analyze": "--version",
  sslscan: "--version",
  testssl: "--version",
  "redis-server": "--version",
  tmux: "-V",
};

/** Whether the program is installed, and for strace, whether it may attach to other processes. */
export function isInstalled(peer: Peer): boolean {
  if (peer === "strace" && process.getuid!() !== 0 && ptraceScope() !== "0") return false;
  return spawnSync(peer, [versionFlags[peer]], { env: environment, stdio: "ignore" }).status === 0;
}

/** The Yama module's setting, "0" without that module (ptrace(2)). */
function ptraceScope(): string {
  try {
    return readFileSync("/proc/sys/kernel/yama/ptrace_scope", "utf8").trim();
  } catch {
    return "0";
  }
}

/** The result of a program. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program for at most `ms` milliseconds; writes `input` to its stdin and closes it. */
export async function run(
  program: string,
  args: readonly string[],
  input: string | Buffer = "",
  ms = 60_000,
): Promise<Finished> {
  const child = spawn(program, args, { env: environment, stdio: "pipe" });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  child.stdin.on("error", () => {}).end(input);
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  try {
    return { code: await within(closed, `the exit of ${program}`, ms), stdout, stderr };
  } finally {
    child.kill("SIGKILL");
  }
}

/** Counts the system calls of a process and all its threads, by name, until `stop`. */
export async function countSystemCalls(
  pid: number,
): Promise<{ stop(): Promise<Map<string, number>> }> {
  const child = spawn("strace", ["-f", "-c", "-U", "calls,name", "-p", String(pid)], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  const attached = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.stderr.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (output.includes("attached")) resolve();
    });
  });
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()));
  await within(attached, "strace attaches");
  return {
    async stop() {
      child.kill("SIGINT");
      await within(closed, "the exit of strace");
      const rows = output.matchAll(/^ *(\d+) (\w+)$/gm);
      return new Map([...rows].map(([, calls, name]) => [name!, Number(calls)]));
    },
  };
}

export interface Server {
  /** Stops it and waits for its exit. */
  stop(): Promise<void>;
  signal(name: "SIGSTOP" | "SIGCONT"): void;
}

/** Starts a server. */
export function serve(program: string, args: readonly string[]): Server {
  const child = spawn(program, args, { env: environment, stdio: "ignore" });
  const closed = new Promise<void>((resolve) => {
    child.on("error", () => resolve()).on("close", () => resolve());
  });
  return {
    async stop() {
      child.kill("SIGKILL");
      await within(closed, `the exit of ${program}`);
    },
    signal: (name) => void child.kill(name),
  };
}
