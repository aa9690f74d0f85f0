/** From settings to the configuration that the rest of the program uses. */
import { usableCores } from "../os/processors.ts";
import { formatAddress, isIpAddress } from "./address.ts";
import { buildTitle } from "./builds.ts";
import { checkConfig, verifiesBackend } from "./checks.ts";
import type {
  AcceptProxy,
  BackendTls,
  CachePeers,
  CombinedConfig,
  Config,
  FrontendConfig,
  NameWithKey,
  PrefixKind,
} from "./config.ts";
import { type BlockName, DEFAULT_FRONTEND, frontendText } from "./blocks.ts";
import type { Collected } from "./collect.ts";
import type { ConfigContext } from "./config_context.ts";
import { nested } from "./dotted.ts";
import { checkEffects } from "./effects.ts";
import type { Nothing } from "./option.ts";
import { chosenTlvs } from "./proxy_tlvs.ts";
import { rows, type Settings } from "./table.ts";
import { frontendConfig, pemFile, type TlsName, tlsParameters } from "./tls_config.ts";
import { checkGlobalVerify, checkUnusedTrust, trustFiles } from "./trust_config.ts";
import { quote } from "./words.ts";

const HITCH_OCSP_DIRECTORY = "/var/lib/hitch";

/**
 * Returns the configuration. Errors are added to `context.problems`, surprising effects to its
 * `warnings`; if there are problems, the result must not be used.
 */
export function toConfig(collected: Collected, context: ConfigContext): Config {
  const { settings } = collected;
  checkEffects(collected, context);
  if (!settings.client) checkGlobalVerify(collected, context);
  checkUnusedTrust(collected, context);
  const values = rows.flatMap(([name, { config, path }]) => {
    const value = settings[name as keyof Settings];
    return config ? [[config.key, path ? context.absolute(value as string) : value] as const] : [];
  });
  const combined = Object.entries(combinedConfig(collected, context));
  const config = nested([...values, ...combined]) as unknown as Config;
  checkConfig(config, collected, context);
  return config;
}

/** Settings that are combined with others and have no key in their row. */
type CombinedName =
  | TlsName
  | "accept-proxy"
  | "access-log"
  | "backend"
  | "backend-name"
  | "daemon"
  | "log-filename"
  | "ocsp-dir"
  | "pem-dir-glob"
  | "proxy-authority"
  | "proxy-client-cert"
  | "proxy-proxy"
  | "proxy-tlv"
  | "proxy-tlvs"
  | "shared-cache-if"
  | "shared-cache-listen"
  | "shared-cache-peer"
  | "syslog"
  | "syslog-facility"
  | "trusted-proxies"
  | "workers"
  | "write-ip"
  | "write-proxy-v1"
  | "write-proxy-v2";

type Parts = Collected<CombinedName>;

/**
 * The compiler's error here names an option that has no key and is combined with no other. `quiet`
 * is a short form of `log-level`.
 */
export type UnusedOption = Nothing<
  Exclude<keyof Settings, NameWithKey | CombinedName | BlockName | "quiet">
>;

function combinedConfig(parts: Parts, context: ConfigContext): CombinedConfig {
  const { settings } = parts;
  const { build, dialect } = context;
  const prefix = prefixOf(parts);
  const directory = pemDirectory(parts, context);
  const cachePeers = cachePeersOf(parts);
  return {
    dialect,
    frontends: frontendsOf(parts, context),
    ...(settings.client && { backendTls: backendTls(parts, context) }),
    pemFiles: settings["pem-file"].map((pem) => pemFile(parts, pem, context)),
    trustFiles: trustFiles(parts, context),
    ...(directory !== "" && { pemDirectory: { path: directory, glob: settings["pem-dir-glob"] } }),
    workers: settings.workers === "auto" ? Math.min(usableCores(), 1024) : settings.workers,
    prefix,
    proxyTlvs: prefix === "proxy-v2" ? chosenTlvs(settings, dialect, build.capabilities) : [],
    acceptProxy: acceptProxyOf(parts, context),
    "accessLog.output": accessLogOf(parts, context),
    "accessLog.facility": settings["syslog-facility"],
    "log.syslog": syslogOf(parts, context),
    "ocsp.directory": ocspDirectory(parts, context),
    ...(cachePeers && { "sessions.cachePeers": cachePeers }),
  };
}

function frontendsOf(parts: Parts, context: ConfigContext): readonly FrontendConfig[] {
  const { settings, blocks, rejected } = parts;
  if (settings.frontend.length === 0) {
    const fallback = frontendText(DEFAULT_FRONTEND, context.dialect);
    // In the place of one that cannot be used; its certificates are not missing.
    const isComplete = context.isComplete && !rejected.has("frontend");
    return [frontendConfig(parts, fallback, true, { ...context, isComplete })];
  }
  const seen = new Set<string>();
  return settings.frontend.map((frontend) => {
    const text = formatAddress(frontend.listen);
    if (seen.has(text)) {
      const { listen } = frontend;
      const shown = isIpAddress(listen) ? `${listen.host}:${listen.port}` : text;
      context.problems.push(
        blocks.get(frontend)!.origin.message(
          `${text} is given twice; remove one`,
          `Redundant frontend (matching IP and port) definition: '${shown}'.`,
        ),
      );
    }
    seen.add(text);
    return frontendConfig(parts, frontend, false, context);
  });
}

function backendTls(parts: Parts, context: ConfigContext): BackendTls {
  const { settings } = parts;
  const verify = verifiesBackend(settings, context.dialect);
  const ca = context.absolute(settings["client-verify-ca"]);
  if (verify && context.dialect === "hitch") checkGlobalVerify(parts, context);
  const host = isIpAddress(settings.backend) ? settings.backend.host : "";
  const isName = /[^\d.]/.test(host) && !host.includes(":");
  return {
    serverName: settings["backend-name"] || (isName ? host : ""),
    verify,
    ca: verify ? ca : "",
    tls: tlsParameters(parts, {}, context),
  };
}

function prefixOf({ settings }: Parts): PrefixKind {
  if (settings["write-ip"]) return "write-ip";
  if (settings["write-proxy-v1"]) return "proxy-v1";
  return settings["write-proxy-v2"] ? "proxy-v2" : "none";
}

function acceptProxyOf(
  { settings, rejected }: Parts,
  { problems, isComplete }: ConfigContext,
): AcceptProxy {
  const trusted = settings["trusted-proxies"];
  if (settings["proxy-proxy"]) return { mode: "pass", trusted: [] };
  if (!settings["accept-proxy"]) return { mode: "none", trusted: [] };
  if (trusted.length === 0 && isComplete && !rejected.has("trusted-proxies")) {
    problems.push(
      "--accept-proxy needs to know whose headers to trust; specify them with --trusted-proxies",
    );
  }
  return { mode: "use", trusted };
}

function ocspDirectory({ settings, origins }: Parts, context: ConfigContext): string {
  const { absolute, build, dialect, directoryFault } = context;
  const given = settings["ocsp-dir"];
  const isHitchs = given === undefined && dialect === "hitch";
  const isDefault = isHitchs && build.capabilities.staples;
  if (isHitchs && !isDefault && !settings.client && !directoryFault(HITCH_OCSP_DIRECTORY)) {
    context.warnings.push(
      `--ocsp-dir: the ${buildTitle(build.name)} build staples no OCSP responses, so ` +
        `${HITCH_OCSP_DIRECTORY} is not used; use the Node build for them`,
    );
  }
  const directory = absolute(isDefault ? HITCH_OCSP_DIRECTORY : given);
  const why = directory === "" ? undefined : directoryFault(directory);
  if (why === undefined) {
    // Client mode has no certificates to staple for.
    return settings.client ? "" : directory;
  }
  if (isDefault) return "";
  const fault = `${quote(directory)} ${why}`;
  if (dialect === "hitch") {
    context.warnings.push(
      `{ocsp} Warning: Unable to stat directory '${directory}': ${fault}. ` +
        "OCSP stapling will be disabled.",
    );
  } else {
    context.problems.push(
      origins.get("ocsp-dir")!.message(`${fault}; create it, or specify another`),
    );
  }
  return "";
}

function cachePeersOf({ settings }: Parts): CachePeers | undefined {
  const { "shared-cache-listen": listen, "shared-cache-peer": peers } = settings;
  if (!listen) return undefined;
  const [name = "", ttl = "1"] = settings["shared-cache-if"].split(",");
  return { listen, peers, interface: name === "*" ? "" : name, ttl: Number(ttl) };
}

function accessLogOf({ settings }: Parts, { absolute, problems }: ConfigContext): string {
  const output = settings["access-log"];
  if (output === "-" && settings.daemon) {
    problems.push(
      "--access-log: with --daemon nobody sees standard output; use a file or syslog",
    );
  }
  return output === "-" || output === "syslog" ? output : absolute(output);
}

/** In stud's dialect a daemon without a log file logs to syslog, except with --syslog=off. */
function syslogOf({ settings, origins }: Parts, { dialect, warnings }: ConfigContext): string {
  const isDetached = settings.daemon && settings["log-filename"] === "";
  const isImplied = dialect === "stud" && isDetached && !origins.has("syslog");
  if (settings.syslog || isImplied) return settings["syslog-facility"];
  if (isDetached) warnings.push("--daemon: the log is discarded; use --syslog or --log-filename");
  return "";
}

/** Returns "" for none, and for one that cannot be used, which is reported. */
function pemDirectory(
  { settings, origins }: Parts,
  { absolute, directoryFault, problems }: ConfigContext,
): string {
  const path = absolute(settings["pem-dir"]);
  const fault = path === "" ? undefined : directoryFault(path);
  if (fault === undefined) return path;
  problems.push(
    origins.get("pem-dir")!.message(`${quote(path)} ${fault}; specify an existing one`),
  );
  return "";
}
