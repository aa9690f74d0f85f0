/** Checks that need all settings: contradictions, and what the build does not support. */
import { availableParallelism } from "node:os";
import type { Runtime } from "../runtime/runtime.ts";
import type { Protocol } from "../runtime/tls.ts";
import { formatAddress, isIpAddress } from "./address.ts";
import type { Origin } from "./assignment.ts";
import { buildTitle, meets, type Need, refusal } from "./builds.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Config } from "./config.ts";
import { formatValue } from "./format.ts";
import { type Collected, exclusive } from "./collect.ts";
import { offeredVersions } from "./offered_versions.ts";
import { tlvLacks } from "./proxy_tlvs.ts";
import { namesOf, type OptionName, optionOf, type Settings } from "./table.ts";
import type { NamedVersion } from "./values.ts";

export type Build = Pick<Runtime, "name" | "capabilities">;

interface Notes {
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

/** Adds one problem, or warning, for each given setting that the running build does not support. */
export function checkNeeds(
  collected: Collected,
  dialect: Dialect,
  build: Build,
  notes: Notes,
): void {
  const { settings, origins, blocks } = collected;
  const check = new NeedsCheck(dialect, build, settings, notes);
  check.checkAll(settings, origins);
  for (const frontend of settings.frontend) {
    const block = blocks.get(frontend)!;
    if (!isIpAddress(frontend.listen)) {
      check.refuse("frontend", block.origin, formatAddress(frontend.listen), "adoptSockets");
    }
    check.checkAll(frontend.settings, block.origins);
  }
  for (const pem of [...settings["pem-file"], ...settings.frontend.flatMap((f) => f.pemFiles)]) {
    check.checkAll(pem, blocks.get(pem)!.origins);
  }
  for (const tlv of settings["proxy-tlvs"] ?? []) {
    const need = tlvLacks(build.capabilities, tlv);
    if (need) check.refuse("proxy-tlvs", origins.get("proxy-tlvs")!, tlv, need);
  }
  const isUnix = "path" in settings.backend;
  if (settings.client && isUnix && !build.capabilities.unixBackendTls) {
    notes.problems.push(refusal("--client to a Unix socket", "unixBackendTls", build.name));
  }
  if (settings.client && !build.capabilities.backendTrust) {
    const ca = origins.get("client-verify-ca");
    if (ca) check.refuse("client-verify-ca", ca, "", "backendTrust");
    if (!verifiesBackend(settings, dialect)) {
      notes.problems.push(refusal("--client without verification", "backendTrust", build.name));
    }
  }
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
  const { log, pidFile, listenReport, pemFiles, frontends, trustFiles, sessions } = config;
  const outputs = [
    ["--log-filename", log.file],
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
  const cores = availableParallelism();
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

class NeedsCheck {
  readonly #notes: Notes;
  readonly #dialect: Dialect;
  readonly #build: Build;
  readonly #isClient: boolean;

  constructor(dialect: Dialect, build: Build, { client }: Settings, notes: Notes) {
    this.#notes = notes;
    this.#dialect = dialect;
    this.#build = build;
    this.#isClient = client;
  }

  /** Checks the given settings of one scope. */
  checkAll(values: Readonly<Record<string, unknown>>, origins: ReadonlyMap<OptionName, Origin>) {
    const { capabilities } = this.#build;
    for (const [name, origin] of origins) {
      const value = name === "tls-protos" ? this.#versions(values[name], origin) : values[name];
      const { needs, default: usual } = optionOf(name);
      const text = formatValue(value);
      if (!needs || text === undefined || text === needs.unless || text === usual) continue;
      if (this.#isClient && name === "client-verify") continue;
      const warning = meets(capabilities, needs.need)
        ? undefined
        : needs.permits?.(text, capabilities);
      if (warning === undefined) this.refuse(name, origin, "", needs.need);
      else this.#notes.warnings.push(origin.warning(warning));
    }
  }

  /** Refuses an option, or one part of its value, unless the build meets the need. */
  refuse(name: OptionName, origin: Origin, part: string, need: Need): void {
    if (meets(this.#build.capabilities, need)) return;
    const [shown] = namesOf(name, this.#dialect);
    const line = part === "" ? `--${shown}` : `--${shown}: ${part}`;
    const inFile = part === "" ? "it" : part;
    this.#notes.problems.push(
      origin.source.kind === "line"
        ? refusal(line, need, this.#build.name)
        : origin.message(refusal(inFile, need, this.#build.name)),
    );
  }

  /**
   * Returns the named versions that the build has. The others are passed over, unless none is left:
   * then each is refused.
   */
  #versions(value: unknown, origin: Origin): readonly Protocol[] | undefined {
    if (!Array.isArray(value)) return undefined;
    const versions: readonly NamedVersion[] = value;
    const { capabilities, name } = this.#build;
    const offered = offeredVersions(versions, capabilities, this.#isClient);
    const had: readonly NamedVersion[] = capabilities.protocols;
    const others = versions.filter((version) => !had.includes(version));
    if (offered.length === 0) {
      for (const version of others.filter(isTls)) {
        this.refuse("tls-protos", origin, version, version);
      }
      return undefined;
    }
    if (others.length > 0) {
      const why = others.some(isTls) ? `the ${buildTitle(name)} build` : "any build";
      const what = `passed over ${others.join(", ")} (not supported by ${why})`;
      this.#notes.warnings.push(origin.warning(what));
    }
    const below = capabilities.protocols.filter((version) =>
      versions.includes(version) && !offered.includes(version)
    );
    if (below.length > 0) {
      const where = this.#isClient ? "towards a backend" : `in the ${buildTitle(name)} build`;
      const what = `passed over ${below.join(", ")} (${where} the versions must not have a gap; ` +
        `name the one above as well, or only ${offered.join(" ")})`;
      this.#notes.warnings.push(origin.warning(what));
    }
    return offered;
  }
}

function isTls(version: NamedVersion): version is Protocol {
  return version.startsWith("TLS");
}
