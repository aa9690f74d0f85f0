/** Parses command lines and configuration files without a disk. */
import assert from "node:assert/strict";
import { UsageError } from "../../src/base/errors.ts";
import { FileError } from "../../src/base/read_file.ts";
import { type Command, parseCommandLine } from "../../src/options/command_line.ts";
import type { Config } from "../../src/options/config.ts";
import type { Dialect } from "../../src/base/dialect.ts";
import { offers } from "../../src/runtime/deno/offers.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Capabilities } from "../../src/runtime/capabilities.ts";

export type Build = Pick<Runtime, "name" | "capabilities">;

export const everything: Capabilities = {
  backendSource: true,
  adoptSockets: true,
  swapCertificates: true,
  protocols: ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"],
  chooseProtocols: true,
  versionGaps: true,
  ciphers: true,
  ciphersuites: true,
  curves: true,
  offers: {},
  preferServerCiphers: true,
  dualCertificates: true,
  sniAbort: true,
  verifyClients: true,
  headerFirst: true,
  dhParameters: true,
  staples: true,
  sessionTimeout: true,
  ticketKeys: true,
  sessionCache: true,
  engines: true,
  backendTrust: true,
  unixBackendTls: true,
  noTickets: true,
  remembersNames: false,
  closeNotify: true,
  truncation: true,
  tlsFacts: true,
};

export const node: Build = { name: "node", capabilities: everything };

/** A build with the minimum of capabilities. */
export const deno: Build = {
  name: "deno",
  capabilities: {
    ...Object.fromEntries(
      Object.keys(everything).map((name) => [name, false]),
    ) as unknown as Capabilities,
    protocols: ["TLSv1.2", "TLSv1.3"],
    offers,
    remembersNames: true,
  },
};

export interface Setting {
  readonly dialect?: Dialect;
  readonly build?: Build;
  /** Configuration files by name; `-` is standard input. */
  readonly files?: Readonly<Record<string, string>>;
  /** Directories that exist; absent: all. */
  readonly directories?: readonly string[];
}

/** Parses a command line with `/etc/stud` as the working directory. */
export function parse(argv: readonly string[], setting: Setting = {}): Command {
  const { dialect = "stud", build = node, files = {}, directories } = setting;
  return parseCommandLine(argv, build, {
    dialect,
    readFile(path) {
      if (Object.hasOwn(files, path)) return files[path]!;
      throw new FileError(path, "it does not exist; check the path");
    },
    workingDirectory: "/etc/stud",
    directoryFault: (path) =>
      directories?.includes(path) ?? true ? undefined : "is not a directory",
  });
}

/** The result of a valid command line, with a certificate added. */
export function start(
  argv: readonly string[],
  setting?: Setting,
): Extract<Command, { config: Config }> {
  const command = parse([...argv, "site.pem"], setting);
  assert.ok("config" in command);
  assert.deepEqual(command.problems, []);
  return command;
}

/** The configuration from a file's text. */
export function configOf(text: string, dialect: Dialect, argv: readonly string[] = []): Config {
  return start(["--config", "F", ...argv], { dialect, files: { F: text } }).config;
}

/** The errors in a command line, each a single line. */
export function problemsOf(argv: readonly string[], setting?: Setting): readonly string[] {
  try {
    const command = parse(argv, setting);
    return "problems" in command ? command.problems : [];
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    for (const problem of error.problems) assert.doesNotMatch(problem, /[\p{Cc}\u2028\u2029]/u);
    assert.equal(error.message, error.problems.join("\n"));
    return error.problems;
  }
}

/** The errors in a file's text. */
export function faultsOf(text: string, dialect: Dialect): readonly string[] {
  return problemsOf(["--config", "F", "site.pem"], { dialect, files: { F: text } });
}
