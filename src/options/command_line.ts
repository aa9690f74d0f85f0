import { availableParallelism } from "node:os";
import { UsageError } from "../errors.ts";
import type { Protocol, Runtime } from "../runtime/types.ts";
import { buildTitle, meets, refusal } from "./builds.ts";
import type { Config, PrefixKind } from "./config.ts";
import { type CommandLine, getopt } from "./getopt.ts";
import { defaultConfig, formatValue, helpText } from "./help.ts";
import { defaultSettings, type Option, type OptionName, options, rows } from "./table.ts";
import type { Settings } from "./table.ts";

/** What the user asked for. `warnings` are single lines to show before the start. */
export type Command =
  | {
    readonly kind: "run" | "test" | "demo";
    readonly config: Config;
    readonly warnings: readonly string[];
  }
  | { readonly kind: "help" | "default-config"; readonly text: string }
  | { readonly kind: "version" };

/**
 * Reads the words after the program's name. `--help` and `--version` win over all that is wrong
 * with values; `--default-config` shows the values given before it. Throws a UsageError for a
 * mistake, and for what the running build cannot do.
 */
export function parseCommandLine(
  argv: readonly string[],
  runtime: Pick<Runtime, "name" | "capabilities">,
): Command {
  const line = getopt(argv);
  const first = line.given.findIndex(({ name }) => isPrinting(name));
  const action = line.given[first]?.name;
  if (action === "version") return { kind: action };
  if (action === "help") return { kind: action, text: helpText() };
  if (action === "default-config") {
    return { kind: action, text: defaultConfig(readSettings(line.given.slice(0, first))) };
  }
  const settings = readSettings(line.given);
  const kind = line.given.map(({ name }) => name).find((n) => n === "test" || n === "demo") ??
    "run";
  if (line.positionals.length === 0 && kind !== "demo") {
    throw new UsageError(
      "No x509 certificate PEM file specified! Name at least one, or try stud --demo",
    );
  }
  checkNeeds(settings, runtime);
  return {
    kind,
    config: toConfig(settings, line.positionals, runtime),
    warnings: warningsOf(settings, runtime),
  };
}

type Given = CommandLine["given"];

function isPrinting(name: OptionName): boolean {
  return name === "help" || name === "version" || name === "default-config";
}

function readSettings(given: Given): Settings {
  const settings = defaultSettings();
  const values: Record<string, unknown> = settings;
  for (const { name, value } of given) {
    const option: Option = options[name];
    if (option.later) {
      throw new UsageError(`--${name} is not built yet in this version; leave it out`);
    }
    if (option.parse) values[name] = parsed(name, option.parse, value);
    if (name === "quiet") settings["log-level"] = settings.quiet ? 0 : settings["log-level"] || 1;
  }
  settings.quiet = settings["log-level"] === 0;
  const on = new Set(
    given.map(({ name }) => name).filter((name) => values[name] !== false),
  );
  refuseContradictions(on);
  if (!on.has("tls") && (settings.ssl || settings["tls-protos"])) settings.tls = false;
  if (!settings.tls && !settings.ssl && !settings["tls-protos"]) {
    throw new UsageError(
      "--tls=off leaves no TLS version; choose with --tls-protos, or leave it out",
    );
  }
  return settings;
}

function parsed(name: OptionName, parse: (text: string) => unknown, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`--${name}: ${error.message}`, { cause: error });
  }
}

function refuseContradictions(on: ReadonlySet<OptionName>): void {
  const chosen = new Map<string, OptionName>();
  for (const [name, { choice }] of rows) {
    if (choice === undefined || !on.has(name)) continue;
    const other = chosen.get(choice);
    if (other) {
      throw new UsageError(
        `Options --${other} and --${name} are mutually exclusive. Leave one of them out.`,
      );
    }
    chosen.set(choice, name);
  }
}

function checkNeeds(settings: Settings, { name: build, capabilities }: BuildFacts): void {
  for (const [name, { needs }] of rows) {
    const value = needs && formatValue(settings[name as keyof Settings]);
    if (value === undefined || value === needs?.unless) continue;
    if (needs && !meets(capabilities, needs.need)) {
      throw new UsageError(refusal(`--${name}`, needs.need, build));
    }
  }
  for (const protocol of settings["tls-protos"] ?? []) {
    if (!meets(capabilities, protocol)) {
      throw new UsageError(refusal(`--tls-protos: ${protocol}`, protocol, build));
    }
  }
}

type BuildFacts = Pick<Runtime, "name" | "capabilities">;

function toConfig(settings: Settings, pemFiles: readonly string[], runtime: BuildFacts): Config {
  return {
    frontends: [settings.frontend],
    backend: settings.backend,
    backendSources: settings["backend-source"],
    pemFiles,
    workers: settings.workers === "auto"
      ? Math.min(availableParallelism(), 1024)
      : settings.workers,
    pinWorkers: settings["pin-workers"],
    backlog: settings.backlog,
    keepalive: settings.keepalive,
    protocols: protocolsOf(settings, runtime),
    ciphers: settings.ciphers,
    preferServerCiphers: settings["prefer-server-ciphers"],
    prefix: prefixOf(settings),
    handshakeTimeout: settings["ssl-handshake-timeout"],
    backendConnectTimeout: settings["backend-connect-timeout"],
    halfCloseTimeout: settings["half-close-timeout"],
    logLevel: settings["log-level"],
    logFormat: settings["log-format"],
  };
}

function protocolsOf(settings: Settings, { capabilities }: BuildFacts): readonly Protocol[] {
  if (settings.ssl) return capabilities.protocols;
  return settings["tls-protos"] ?? ["TLSv1.2", "TLSv1.3"];
}

function prefixOf(settings: Settings): PrefixKind {
  if (settings["write-ip"]) return "write-ip";
  if (settings["write-proxy"]) return "proxy-v1";
  return settings["write-proxy-v2"] ? "proxy-v2" : "none";
}

function warningsOf(settings: Settings, { name, capabilities }: BuildFacts): string[] {
  const warnings: string[] = [];
  if (settings.ssl) {
    warnings.push(
      `--ssl offers ${capabilities.protocols.join(", ")}; ` +
        "SSLv3 no longer exists in any of these TLS libraries",
    );
  }
  if (settings["write-proxy-v2"] && !capabilities.tlsFacts) {
    warnings.push(
      `--write-proxy-v2: the ${buildTitle(name)} build cannot tell a connection's server name, ` +
        "TLS version and cipher, so the header carries addresses and ALPN only",
    );
  }
  return warnings;
}
