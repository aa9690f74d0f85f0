/** The machine and the tools that the figures were measured with. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import process from "node:process";
import { environment } from "../tests/support/commands.ts";
import { firstLine } from "./programs.ts";

/** The cores in use: one for the proxy, one for everything else. */
export interface Cores {
  readonly proxy: number;
  readonly load: number;
}

/** Returns the first two cores that this process may run on. Throws if there is only one. */
export function takeCores(): Cores {
  const status = readFileSync("/proc/self/status", "utf8");
  const list = /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1] ?? "";
  const allowed = list.split(",").flatMap((range) => {
    const [first, last] = range.split("-").map(Number);
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, i) => first! + i);
  });
  const [proxy, load] = allowed;
  if (proxy === undefined || load === undefined) {
    throw new Error("the benchmark needs two cores: one for the proxy, one for load and backend");
  }
  // All our threads and, by inheritance, every process that we start.
  const { status: code } = spawnSync("taskset", ["-a", "-cp", `${load}`, `${process.pid}`]);
  if (code !== 0) throw new Error("taskset cannot bind the benchmark to a core");
  return { proxy, load };
}

/** Returns the required programs that are missing. */
export function missingTools(): string[] {
  const tools = { h2load: "--version", openssl: "version", nginx: "-v", taskset: "--version" };
  return Object.entries(tools)
    .filter(([tool, flag]) => spawnSync(tool, [flag], { env: environment }).error)
    .map(([tool]) => tool);
}

/** Lines for the report: the machine. */
export function describeMachine(cores: Cores): string[] {
  return [
    `CPU: ${cpus()[0]?.model}, ${cpus().length} cores; proxy on core ${cores.proxy}, ` +
    `load generator and backend on core ${cores.load}`,
    `kernel: Linux ${release()}, ${process.arch}`,
  ];
}

/** Lines for the report: load generators and backend. */
export function describeTools(): string[] {
  return [
    `OpenSSL of hitch, HAProxy, nginx and h2load: ${firstLine("openssl", ["version"])}`,
    `load: ${firstLine("h2load", ["--version"])}; ` +
    `Node.js ${process.version} for post-quantum handshakes, idle connections and the upload sink`,
    `backend: ${firstLine("nginx", ["-v"], /version: (\S+)/)}`,
  ];
}
