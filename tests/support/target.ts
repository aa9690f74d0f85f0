/** The programs under test: the same behaviours are asked of every one of them. */
import { join } from "node:path";

/** What a build cannot do is tested as a clear refusal instead. */
export interface Target {
  readonly name: string;
  readonly runtime: "bun" | "deno" | "node";
  readonly command: readonly string[];
  /** Connections that wait at a killed worker are served by its successor. */
  readonly adoptSockets: boolean;
  /** Knows a connection's SNI, TLS version and cipher. */
  readonly tlsFacts: boolean;
  /** The local address of backend connections can be chosen. */
  readonly backendSource: boolean;
  /** The TLS versions can be chosen. */
  readonly chooseProtocols: boolean;
  /** A cipher list, and the server's order in it, can be given. */
  readonly ciphers: boolean;
}

/** The root of the repository. */
export const root = join(import.meta.dirname, "..", "..");

/** A target by its name: a runtime that starts the sources, or a file which `build` made. */
export function target(name: keyof typeof commands): Target {
  const { runtime, command } = commands[name];
  const full = runtime !== "deno";
  return {
    name,
    runtime,
    command: command.map((word) =>
      word.includes("/") || word === "mod.ts" ? join(root, word) : word
    ),
    adoptSockets: full,
    tlsFacts: full,
    backendSource: full,
    chooseProtocols: full,
    ciphers: full,
  };
}

const DENO = ["node_modules/.bin/deno", "run", "-A", "--unstable-net"];

const commands = {
  bun: { runtime: "bun", command: ["node_modules/.bin/bun", "mod.ts"] },
  deno: { runtime: "deno", command: [...DENO, "mod.ts"] },
  node: { runtime: "node", command: ["node_modules/.bin/node", "mod.ts"] },
  "dist-stud": { runtime: "bun", command: ["dist/stud"] },
  "dist-stud-node": { runtime: "node", command: ["dist/stud-node"] },
  "dist-stud-deno": { runtime: "deno", command: [...DENO, "dist/stud-deno.js"] },
} as const;
