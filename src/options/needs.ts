/** Checks that the running build supports the given settings. */
import type { Protocol } from "../runtime/tls.ts";
import { formatAddress, isIpAddress } from "./address.ts";
import type { Origin } from "./assignment.ts";
import { type Build, buildTitle, meets, type Need, refusal } from "./builds.ts";
import { pemValues } from "./blocks.ts";
import type { Dialect } from "../base/dialect.ts";
import { type Notes, verifiesBackend } from "./checks.ts";
import { formatValue } from "./format.ts";
import type { Collected } from "./collect.ts";
import { offeredVersions } from "./offered_versions.ts";
import { tlvLacks } from "./proxy_tlvs.ts";
import { namesOf, type OptionName, optionOf, type Settings } from "./table.ts";
import type { NamedVersion } from "./tls_values.ts";

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
  for (const pem of pemValues(settings)) {
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
