/** From settings to the configuration that the rest of the program acts by. */
import { availableParallelism } from "node:os";
import { formatAddress, isIpAddress } from "./address.ts";
import { buildTitle } from "./builds.ts";
import { verifiesBackend } from "./checks.ts";
import type {
  AcceptProxy,
  BackendTls,
  CachePeers,
  Config,
  FrontendConfig,
  Limits,
  LogConfig,
  OcspConfig,
  PrefixKind,
  SessionConfig,
} from "./config.ts";
import { type Collected } from "./collect.ts";
import { frontendText } from "./blocks.ts";
import { chosenTlvs } from "./proxy_tlvs.ts";
import type { Settings } from "./table.ts";
import {
  checkGlobalVerify,
  frontendConfig,
  pemFile,
  type Surround,
  tlsOptions,
} from "./tls_config.ts";
import { quote } from "./words.ts";

/** As {@link Surround}, with a look at the disk. */
export interface Ground extends Surround {
  readonly isDirectory: (path: string) => boolean;
}

const DEFAULT_FRONTEND = "[*]:8443";
const HITCH_OCSP_DIRECTORY = "/var/lib/hitch/";

/**
 * Makes the configuration. What cannot be adds to `ground.problems`, what may surprise to its
 * `warnings`; with problems the result is of no use.
 */
export function toConfig(collected: Collected, ground: Ground): Config {
  const { settings } = collected;
  const { absolute, build, dialect } = ground;
  checkLeftovers(collected, ground);
  if (!settings.client) checkGlobalVerify(collected, ground);
  const directory = absolute(settings["pem-dir"]);
  checkDirectory(collected, "pem-dir", directory, ground);
  const chroot = absolute(settings.chroot);
  checkDirectory(collected, "chroot", chroot, ground);
  const prefix = prefixOf(collected);
  const workers = settings.workers === "auto"
    ? Math.min(availableParallelism(), 1024)
    : settings.workers;
  return {
    dialect,
    frontends: frontendsOf(collected, ground),
    backend: settings.backend,
    backendRefresh: settings["backend-refresh"],
    backendSources: settings["backend-source"],
    ...(settings.client && { backendTls: backendTls(collected, ground) }),
    pemFiles: settings["pem-file"].map((pem) => pemFile(collected, pem, ground)),
    ...(directory !== "" && { pemDirectory: { path: directory, glob: settings["pem-dir-glob"] } }),
    passphraseFile: absolute(settings["passphrase-file"]),
    alpn: settings["alpn-protos"],
    engine: settings["ssl-engine"],
    ocsp: ocspOf(collected, ground),
    workers,
    pinWorkers: settings["pin-workers"],
    backlog: settings.backlog,
    keepalive: settings.keepalive,
    tcpFastopen: settings["tcp-fastopen"],
    recvBufsize: settings["recv-bufsize"],
    sendBufsize: settings["send-bufsize"],
    prefix,
    proxyTlvs: prefix === "proxy-v2" ? chosenTlvs(settings, dialect, build.capabilities) : [],
    acceptProxy: acceptProxyOf(collected, ground),
    handshakeTimeout: settings["ssl-handshake-timeout"],
    backendConnectTimeout: settings["backend-connect-timeout"],
    halfCloseTimeout: settings["half-close-timeout"],
    idleTimeout: settings["idle-timeout"],
    maxLifetime: settings["max-lifetime"],
    drainTimeout: settings["drain-timeout"],
    reloadDrainTimeout: settings["reload-drain-timeout"],
    limits: limitsOf(collected, workers, ground),
    sessions: sessionsOf(collected, ground),
    maxGenerations: settings["max-generations"],
    watchdog: settings.watchdog,
    watch: settings.watch,
    log: logOf(collected, ground),
    statsInterval: settings["stats-interval"],
    privileges: { user: settings.user, group: settings.group, chroot },
    daemon: settings.daemon,
    pidFile: absolute(settings.pidfile),
    listenReport: absolute(settings["dbg-listen"]),
  };
}

function limitsOf({ settings }: Collected, workers: number, { problems }: Ground): Limits {
  const connections = settings["max-connections"];
  if (connections > 0 && connections < workers) {
    problems.push(
      `--max-connections: ${connections} is less than one for each of ${workers} workers; ` +
        `give at least ${workers}, or fewer --workers`,
    );
  }
  return {
    connections,
    workerConnections: settings["max-worker-connections"],
    handshakes: settings["max-handshakes"],
    sourceConnections: settings["max-source-connections"],
    sourceRate: settings["max-source-rate"],
  };
}

function sessionsOf(collected: Collected, ground: Ground): SessionConfig {
  const { settings, origins } = collected;
  const { absolute, problems, warnings } = ground;
  const { tickets, "session-timeout": timeout, "ticket-rotation": ticketRotation } = settings;
  const secret = settings["ticket-secret-file"];
  if (tickets && timeout > ticketRotation) {
    problems.push(
      `--session-timeout: tickets are read for ${ticketRotation} s after their key has changed, ` +
        `which is less than ${timeout} s; give at most --ticket-rotation`,
    );
  }
  if (settings["ticket-store"] !== "" && secret === "") {
    problems.push(
      "--ticket-store needs a secret to seal its keys with; give it with --ticket-secret-file",
    );
  }
  const isOnLine = origins.get("ticket-store")?.source.kind === "line";
  if (isOnLine && /:[^/]+@/.test(settings["ticket-store"])) {
    warnings.push(
      "--ticket-store: all users see its password in the list of processes; " +
        "give it in a configuration file",
    );
  }
  const cachePeers = cachePeersOf(settings, problems);
  return {
    tickets,
    timeout,
    affinity: settings.affinity,
    ticketRotation,
    ticketSecretFile: absolute(secret),
    ticketStore: settings["ticket-store"],
    ticketStoreCa: absolute(settings["ticket-store-ca"]),
    cache: settings["shared-cache"],
    ...(cachePeers && { cachePeers }),
  };
}

function cachePeersOf(settings: Settings, problems: string[]): CachePeers | undefined {
  const { "shared-cache-listen": listen, "shared-cache-peer": peers } = settings;
  if (!listen) return undefined;
  if (settings["shared-cache"] === 0) {
    problems.push("--shared-cache-listen needs sessions to share; give their number with -C");
  }
  if (settings["ticket-secret-file"] === "") {
    problems.push(
      "--shared-cache-listen needs a secret to encrypt with; give it with --ticket-secret-file",
    );
  }
  const [name = "", ttl = "1"] = settings["shared-cache-if"].split(",");
  return { listen, peers, interface: name === "*" ? "" : name, ttl: Number(ttl) };
}

function frontendsOf(collected: Collected, ground: Ground): readonly FrontendConfig[] {
  const { settings, blocks } = collected;
  if (settings.frontend.length === 0) {
    const usual = frontendText(DEFAULT_FRONTEND, ground.dialect);
    return [frontendConfig(collected, usual, true, ground)];
  }
  const seen = new Set<string>();
  return settings.frontend.map((frontend) => {
    const text = formatAddress(frontend.listen);
    if (seen.has(text)) {
      const { listen } = frontend;
      const shown = isIpAddress(listen) ? `${listen.host}:${listen.port}` : text;
      ground.problems.push(
        blocks.get(frontend)!.origin.tell(
          `${text} is given twice; remove one`,
          `Redundant frontend (matching IP and port) definition: '${shown}'.`,
        ),
      );
    }
    seen.add(text);
    return frontendConfig(collected, frontend, false, ground);
  });
}

function backendTls(collected: Collected, ground: Ground): BackendTls {
  const { settings } = collected;
  const verify = verifiesBackend(settings, ground.dialect);
  const ca = ground.absolute(settings["client-verify-ca"]);
  if (verify && ground.dialect === "hitch") checkGlobalVerify(collected, ground);
  const host = isIpAddress(settings.backend) ? settings.backend.host : "";
  const isName = /[^\d.]/.test(host) && !host.includes(":");
  return {
    serverName: settings["backend-name"] || (isName ? host : ""),
    verify,
    ca: verify ? ca : "",
    tls: tlsOptions(collected, {}, ground),
  };
}

function prefixOf({ settings }: Collected): PrefixKind {
  if (settings["write-ip"]) return "write-ip";
  if (settings["write-proxy-v1"]) return "proxy-v1";
  return settings["write-proxy-v2"] ? "proxy-v2" : "none";
}

function acceptProxyOf({ settings }: Collected, { problems, isComplete }: Ground): AcceptProxy {
  const trusted = settings["trusted-proxies"];
  if (settings["proxy-proxy"]) return { mode: "pass", trusted: [] };
  if (!settings["accept-proxy"]) return { mode: "none", trusted: [] };
  if (trusted.length === 0 && isComplete) {
    problems.push(
      "--accept-proxy needs to know whose headers to believe; name them with --trusted-proxies",
    );
  }
  return { mode: "use", trusted };
}

function ocspOf({ settings, origins }: Collected, ground: Ground): OcspConfig {
  const { absolute, build, dialect, isDirectory } = ground;
  const given = settings["ocsp-dir"];
  let directory = absolute(given);
  if (given === undefined && dialect === "hitch" && build.capabilities.staples) {
    directory = isDirectory(HITCH_OCSP_DIRECTORY) ? absolute(HITCH_OCSP_DIRECTORY) : "";
  } else if (directory !== "" && !isDirectory(directory)) {
    const fault = `${quote(directory)} is not a directory`;
    if (dialect === "hitch") {
      ground.warnings.push(
        `{ocsp} Warning: Unable to stat directory '${directory}': ${fault}. ` +
          "OCSP stapling will be disabled.",
      );
      directory = "";
    } else {
      ground.problems.push(origins.get("ocsp-dir")!.tell(`${fault}; make it, or name another`));
    }
  }
  return {
    // Client mode has no certificates to staple for.
    directory: settings.client ? "" : directory,
    verify: settings["ocsp-verify-staple"],
    connectTimeout: settings["ocsp-connect-tmo"],
    responseTimeout: settings["ocsp-resp-tmo"],
    refreshInterval: settings["ocsp-refresh-interval"],
  };
}

function logOf(
  { settings, origins }: Collected,
  { absolute, dialect, warnings }: Ground,
): LogConfig {
  const file = absolute(settings["log-filename"]);
  const isImplied = dialect === "stud" && settings.daemon && file === "" && !origins.has("syslog");
  const isSyslog = settings.syslog || isImplied;
  if (settings.daemon && file === "" && !isSyslog) {
    warnings.push("--daemon: the log goes nowhere; use --syslog or --log-filename");
  }
  return {
    level: settings["log-level"],
    format: settings["log-format"],
    file,
    syslog: isSyslog ? settings["syslog-facility"] : "",
  };
}

function checkDirectory(
  { origins }: Collected,
  name: "pem-dir" | "chroot",
  path: string,
  { isDirectory, problems }: Ground,
): void {
  if (path === "" || isDirectory(path)) return;
  problems.push(origins.get(name)!.tell(`${quote(path)} is not a directory; name one that exists`));
}

/** What leaves nothing to serve with, and what was given but has no effect. */
function checkLeftovers({ settings, origins }: Collected, ground: Ground): void {
  const { build: { capabilities, name: build }, dialect, problems, warnings } = ground;
  const all = capabilities.protocols.join(", ");
  if (!settings.tls && !settings.ssl && !settings["tls-protos"]) {
    if (dialect === "hitch") {
      warnings.push("Warning: tls = off is deprecated and has no effect.");
    } else {
      problems.push(
        "--tls=off leaves no TLS version; choose with --tls-protos, or leave it out",
      );
    }
  }
  if (settings.ssl) {
    warnings.push(`--ssl offers ${all}; SSLv3 no longer exists in any of these TLS libraries`);
  } else if (dialect === "hitch" && settings.tls && origins.has("tls")) {
    warnings.push(`--tls is deprecated; it offers ${all}, choose with --tls-protos`);
  }
  if (settings["write-proxy-v2"] && !capabilities.tlsFacts) {
    warnings.push(
      `--write-proxy-v2: the ${buildTitle(build)} build cannot tell a connection's server name, ` +
        "TLS version and cipher, so the header carries addresses and ALPN only",
    );
  }
  const useless: readonly [name: keyof typeof settings & string, without: string, has: boolean][] =
    [
      ["proxy-tlvs", "--write-proxy-v2", settings["write-proxy-v2"]],
      ["trusted-proxies", "--accept-proxy", settings["accept-proxy"]],
      ["pem-dir-glob", "--pem-dir", settings["pem-dir"] !== ""],
      ["backend-name", "--client", settings.client],
      ["ticket-secret-file", "--tickets", settings.tickets || settings["shared-cache"] > 0],
      ["ticket-store", "--tickets", settings.tickets],
      ["ticket-store-ca", "--ticket-store", settings["ticket-store"] !== ""],
      ["shared-cache-peer", "--shared-cache-listen", !!settings["shared-cache-listen"]],
      ["shared-cache-if", "--shared-cache-listen", !!settings["shared-cache-listen"]],
    ];
  for (const [name, without, has] of useless) {
    if (!has && origins.has(name) && String(settings[name]) !== "") {
      warnings.push(`--${name} has no effect without ${without}`);
    }
  }
  if (settings.client && (settings["pem-file"].length > 0 || settings["pem-dir"] !== "")) {
    warnings.push("--client: the certificates are not used, since no TLS client connects");
  }
}
