/** The programs under test, and what the builds can do. */
import { join } from "node:path";

/** The runtimes whose builds have an ability; on the others a clear refusal is tested. */
const abilities = {
  /** Connections in a killed worker's queue are served by its successor. */
  adoptSockets: ["bun", "node"],
  /** Running workers use new certificates. */
  swapCertificates: ["bun", "node"],
  /** A connection's SNI, TLS version and cipher are available. */
  tlsFacts: ["bun", "node"],
  /** An end without close_notify is reported as such. */
  closeNotify: ["deno", "node"],
  /** An end within a TLS record is reported as such. */
  truncation: ["node"],
  /** The local address of backend connections can be chosen. */
  backendSource: ["bun", "node"],
  /** The TLS versions can be chosen. */
  chooseProtocols: ["bun", "node"],
  /** A cipher list for TLS 1.2, and the server's preference, can be set. */
  ciphers: ["bun", "node"],
  ciphersuites: ["node"],
  curves: ["bun", "node"],
  /** RSA and ECDSA certificates serve one name side by side. */
  dualCertificates: ["bun", "node"],
  /** An unknown name gets the alert `unrecognized_name`. */
  sniAbort: ["bun", "node"],
  verifyClients: ["bun", "node"],
  /** A PROXY header can be read before TLS. */
  headerFirst: ["bun", "node"],
  dhParameters: ["node"],
  /** OCSP responses are stapled. */
  staples: ["node"],
  /** The lifetime of sessions can be set. */
  sessionTimeout: ["bun", "node"],
  /** Workers share the keys of session tickets. */
  ticketKeys: ["node"],
  engines: ["node"],
  /** TLS 1.2 sessions can be stored by the master. */
  sessionCache: ["node"],
  /** In client mode, CAs can be set and verification disabled. */
  backendTrust: ["bun", "node"],
} as const;

export type Ability = keyof typeof abilities;

/** For a missing ability a clear refusal is tested instead. */
export type Target = {
  readonly name: string;
  readonly runtime: "bun" | "deno" | "node";
  readonly command: readonly string[];
  /** It is what `build` makes, not the sources. */
  readonly isBuilt: boolean;
} & { readonly [A in Ability]: boolean };

/** The root of the repository. */
export const root = join(import.meta.dirname, "..", "..");

/** Returns a target by name: a runtime that runs the sources, or a file that `build` made. */
export function target(name: TargetName): Target {
  const { runtime, command } = commands[name];
  const able = Object.entries(abilities).map(([ability, runtimes]) =>
    [ability, (runtimes as readonly string[]).includes(runtime)] as const
  );
  return {
    name,
    runtime,
    isBuilt: command.at(-1) !== ENTRY,
    command: command.map((word) => word.includes("/") || word === ENTRY ? join(root, word) : word),
    ...Object.fromEntries(able) as { [A in Ability]: boolean },
  };
}

/** Returns the names of the builds with an ability, as in a refusal. */
export function buildsWith(ability: Ability): string[] {
  const titles = { bun: "Bun", deno: "Deno", node: "Node" } as const;
  return abilities[ability].map((runtime) => titles[runtime]);
}

/** The sources are started by it. */
const ENTRY = "mod.ts";
const DENO = ["node_modules/.bin/deno", "run", "-A", "--unstable-net"];

const commands = {
  bun: { runtime: "bun", command: ["node_modules/.bin/bun", ENTRY] },
  deno: { runtime: "deno", command: [...DENO, ENTRY] },
  node: { runtime: "node", command: ["node_modules/.bin/node", ENTRY] },
  "dist-stud": { runtime: "bun", command: ["dist/stud"] },
  "dist-stud-node": { runtime: "node", command: ["dist/stud-node"] },
  "dist-stud-deno": { runtime: "deno", command: [...DENO, "dist/stud-deno.js"] },
} as const;

export type TargetName = keyof typeof commands;
/** All targets there are. */
export const targetNames = Object.keys(commands) as readonly TargetName[];
