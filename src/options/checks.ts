/** Checks that need all settings. */
import { usableCores } from "../os/processors.ts";
import { formatAddress } from "./address.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Config } from "./config.ts";
import { type Collected, exclusive } from "./collect.ts";
import { namesOf, type OptionName, type Settings } from "./table.ts";

/** Lists to which checks add a line for each problem and each surprise. */
export interface Notes {
  readonly problems: string[];
  readonly warnings: string[];
}

const prefixes = ["write-ip", "write-proxy-v1", "write-proxy-v2"] as const;

/** Returns one line for each pair of options that contradict each other. */
export function contradictions({ settings, origins }: Collected, dialect: Dialect): string[] {
  const shown = (name: OptionName) => `--${namesOf(name, dialect)[0]}`;
  const on = ([...prefixes, "proxy-proxy"] as const).filter((name) => settings[name]);
  const found: string[] = [];
  if (on.length > 1 && dialect === "hitch") {
    found.push(
      "Options --write-ip, --write-proxy-proxy, --write-proxy-v1 and --write-proxy-v2 are mutually " +
        `exclusive. Remove all but one of ${on.map(shown).join(", ")}.`,
    );
  } else if (on.length > 1) {
    found.push(exclusive(shown(on[0]!), shown(on[1]!)));
  }
  if (settings["accept-proxy"] && settings["proxy-proxy"]) {
    found.push(exclusive("--proxy-proxy", "--accept-proxy"));
  }
  const switches = ["proxy-tlv", "proxy-authority", "proxy-client-cert"] as const;
  const given = switches.find((name) => settings[name] !== (name !== "proxy-client-cert"));
  if (settings["proxy-tlvs"] && given) found.push(exclusive("--proxy-tlvs", `--${given}`));
  if (settings.client) {
    for (const name of [...prefixes, "proxy-proxy", "accept-proxy"] as const) {
      if (!settings[name]) continue;
      found.push(
        `${shown(name)} has no effect with --client, which forwards plain bytes only; remove it`,
      );
    }
    if (origins.has("client-verify-crl")) {
      found.push("--client-verify-crl is not supported with --client; remove it");
    }
  }
  if (settings["write-ip"]) {
    for (const { listen } of settings.frontend.filter(({ listen }) => "path" in listen)) {
      found.push(
        `--write-ip: clients of ${formatAddress(listen)} have no IP address; use --write-proxy-v2`,
      );
    }
  }
  return found;
}

/** Adds a problem for each contradiction in a configuration, and warnings for surprises. */
export function checkConfig(config: Config, collected: Collected, notes: Notes): void {
  checkLimits(config, collected, notes);
  checkOutputs(config, notes);
  checkSessions(config, collected, notes);
}

/** In client mode stud's dialect verifies the backend by default, hitch's only on request. */
export function verifiesBackend(
  settings: Pick<Settings, "client-verify">,
  dialect: Dialect,
): boolean {
  return (settings["client-verify"] ?? (dialect === "stud" ? "required" : "none")) !== "none";
}

/** Reports a file that would be written and is also another option's. */
function checkOutputs(config: Config, { problems }: Notes): void {
  const { log, accessLog, pidFile, listenReport, pemFiles, frontends, trustFiles, sessions } =
    config;
  const outputs = [
    ["--log-filename", log.file],
    ["--access-log", accessLog.output],
    ["--pidfile", pidFile],
    ["--dbg-listen", listenReport],
  ] as const;
  const pems = [...pemFiles, ...frontends.flatMap(({ pemFiles }) => pemFiles)];
  const known = new Map([
    ...pems.flatMap(({ cert, key }) => [[cert, "a PEM file"], [key, "a private key"]] as const),
    ...trustFiles.authorities.map((file) => [file, "--client-verify-ca"] as const),
    ...trustFiles.lists.map((file) => [file, "--client-verify-crl"] as const),
    [config.passphraseFile, "--passphrase-file"],
    [sessions.ticketSecretFile, "--ticket-secret-file"],
    [sessions.ticketStoreCa, "--ticket-store-ca"],
    [config.admin.tokenFile, "--admin-token-file"],
  ]);
  for (const [option, file] of outputs) {
    const other = file === "" ? undefined : known.get(file);
    known.set(file, option);
    if (other) problems.push(`${option}: ${file} is also given as ${other}; choose another path`);
  }
}

/** More workers for each core than this are probably a mistake. */
const WORKERS_PER_CORE = 8;

function checkLimits(
  { limits, workers }: Config,
  { origins, rejected }: Collected,
  { problems, warnings }: Notes,
): void {
  const cores = usableCores();
  if (workers > cores * WORKERS_PER_CORE) {
    const label = origins.get("workers")?.label ?? "--workers";
    warnings.push(
      `${label}: ${workers} workers share ${cores === 1 ? "one core" : `${cores} cores`}; more ` +
        "workers than cores only cost memory",
    );
  }
  const { connections } = limits;
  if (connections === 0 || connections >= workers || rejected.has("workers")) return;
  problems.push(
    `--max-connections: ${connections} is less than one for each of ${workers} workers; ` +
      `use at least ${workers}, or fewer --workers`,
  );
}

function checkSessions(
  { sessions }: Config,
  { origins, rejected }: Collected,
  { problems, warnings }: Notes,
): void {
  const { tickets, timeout, ticketRotation, ticketSecretFile, ticketStore, cachePeers } = sessions;
  if (tickets && timeout > ticketRotation && !rejected.has("ticket-rotation")) {
    problems.push(
      `--session-timeout: tickets are accepted for ${ticketRotation} s after their key has ` +
        `changed, which is less than ${timeout} s; use at most --ticket-rotation`,
    );
  }
  const lacksSecret = ticketSecretFile === "" && !rejected.has("ticket-secret-file");
  if (ticketStore !== "" && lacksSecret) {
    problems.push(
      "--ticket-store needs a secret to encrypt its keys; specify one with --ticket-secret-file",
    );
  }
  if (origins.get("ticket-store")?.source.kind === "line" && /:[^/]+@/.test(ticketStore)) {
    warnings.push(
      "--ticket-store: all users can see its password in the process list; " +
        "set it in a configuration file",
    );
  }
  if (cachePeers && sessions.cache === 0 && !rejected.has("shared-cache")) {
    problems.push("--shared-cache-listen needs sessions to share; specify their number with -C");
  }
  if (cachePeers && lacksSecret) {
    problems.push(
      "--shared-cache-listen needs a secret to encrypt with; specify one with --ticket-secret-file",
    );
  }
}
