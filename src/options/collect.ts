/** From assignments to settings: the last one applies, lists grow, errors are collected. */
import { parseActivated, parseHost, parsePort, parseUnix } from "./address.ts";
import type { Assignment, Origin, Source } from "./assignment.ts";
import type { ListenAddress } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import type { FrontendSettings, FrontendValue, PemValue } from "./blocks.ts";
import { defaultSettings, namesOf, type OptionName, optionOf, type Settings } from "./table.ts";
import { ValueError } from "./values.ts";
import { hasCredentials, isConfigName, quote, withoutCredentials } from "./words.ts";

/** The settings; a function that names some of them reads only these. */
export interface Collected<Name extends keyof Settings = keyof Settings> {
  readonly settings: Pick<Settings, Name>;
  /** Where each setting was last given. */
  readonly origins: ReadonlyMap<OptionName, Origin>;
  /** Settings that were given with a value that was reported: they are not missing. */
  readonly rejected: ReadonlySet<OptionName>;
  /** Where each frontend and each certificate was given. */
  readonly blocks: ReadonlyMap<object, BlockOrigin>;
}

/** The origin of a frontend or a certificate, and of the keys in its block. */
export interface BlockOrigin {
  readonly origin: Origin;
  readonly origins: ReadonlyMap<OptionName, Origin>;
}

/**
 * Parses the values in order. Adds invalid ones to `problems` and skips them; adds a warning for a
 * setting that one source gives two values.
 */
export function collect(
  assignments: readonly Assignment[],
  dialect: Dialect,
  problems: string[],
  warnings: string[],
): Collected {
  return new Collector(dialect, problems, warnings).collect(assignments);
}

const protocolOptions = ["tls", "ssl", "tls-protos"] as const;

type Values = Record<string, unknown>;

class Collector {
  readonly #dialect: Dialect;
  readonly #problems: string[];
  readonly #warnings: string[];
  readonly #blocks = new Map<object, BlockOrigin>();

  constructor(dialect: Dialect, problems: string[], warnings: string[]) {
    this.#dialect = dialect;
    this.#problems = problems;
    this.#warnings = warnings;
  }

  collect(assignments: readonly Assignment[]): Collected {
    const settings = defaultSettings(this.#dialect);
    const rejected = new Set<OptionName>();
    const origins = this.#assign(assignments, settings, rejected);
    return { settings, origins, rejected, blocks: this.#blocks };
  }

  /** Stores the values of one scope in `into`. Returns where each was given. */
  #assign(
    assignments: readonly Assignment[],
    into: Values,
    rejected: Set<OptionName>,
  ): Map<OptionName, Origin> {
    const origins = new Map<OptionName, Origin>();
    for (const assignment of assignments) {
      const value = this.#valueOf(assignment, rejected);
      if (value === undefined) continue;
      const { name, origin } = assignment;
      if (isProtocolOption(name)) this.#override(name, value, origin, into, origins);
      if (name === "frontend") this.#replaceOthers(origin.source, into);
      if (optionOf(name).repeat) {
        into[name] = [...into[name] as unknown[] ?? [], value];
      } else {
        this.#warnOfRepetition(origin, origins.get(name), [into[name], value]);
        into[name] = value;
      }
      if (name === "quiet") into["log-level"] = value ? 0 : into["log-level"] || 1;
      if (name === "log-level") into.quiet = value === 0;
      origins.set(name, origin);
    }
    return origins;
  }

  /** A later source may override an earlier one; within one source it is probably a mistake. */
  #warnOfRepetition(origin: Origin, before: Origin | undefined, values: readonly unknown[]): void {
    if (before?.source !== origin.source) return;
    const [earlier, later] = values.map((value) => JSON.stringify(value));
    if (earlier === later) return;
    const places = `${before.place} and ${origin.place}`;
    this.#warnings.push(`${origin.label}: given twice, in ${places}; the last value applies`);
  }

  /** Returns undefined for an invalid value, and for an empty one that counts as not given. */
  #valueOf({ name, value, origin, isFaulty }: Assignment, rejected: Set<OptionName>): unknown {
    const option = optionOf(name);
    try {
      if (typeof value !== "string") {
        const block = this.#block(name, value, origin, isFaulty ?? false);
        if (!block) rejected.add(name);
        return block;
      }
      if (isFaulty) {
        rejected.add(name);
        return undefined;
      }
      if (value === "" && origin.source.kind === "file") {
        if (option.empty === undefined) return undefined;
        if (option.empty === "error") throw new ValueError("it is empty; specify a file");
      }
      if (value === "" && origin.source.kind === "line" && option.confines) {
        throw new ValueError(
          "it is empty; is a variable not set? Give a value, or remove the option",
        );
      }
      // Not quoted: a missing quote makes the following lines a part of the value.
      if (value.includes("\n")) {
        throw new ValueError('the value spans several lines; put a " at its end');
      }
      if (/\p{Cc}/u.test(value)) {
        throw new ValueError("the value contains a control character; remove it");
      }
      if (option.strict && this.#isWrongSwitch(name, value, origin)) {
        rejected.add(name);
        return undefined;
      }
      if (!option.isSecret && hasCredentials(value)) throw notTaken(value);
      const parsed = option.parse?.(value, this.#dialect);
      if (option.repeat) this.#keepOrigin(parsed as FrontendValue | PemValue, origin);
      return parsed;
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      const isHidden = typeof value === "string" && !option.isSecret &&
        !/\p{Cc}/u.test(value) && withoutCredentials(value) !== value;
      const { message, original } = isHidden ? notTaken(value) : error;
      const isConfig = typeof value === "string" && origin.source.kind === "line" &&
        isConfigName(value) && !message.includes("--config");
      const isVersion = name === "write-proxy-v1" && value === "v2";
      const remedy = isVersion
        ? "; for version 2 use --write-proxy-v2"
        : isConfig
        ? `; to read a configuration file, use --config=${value}`
        : "";
      this.#problems.push(origin.message(`${message}${remedy}`, original));
      rejected.add(name);
      return undefined;
    }
  }

  #keepOrigin(block: FrontendValue | PemValue, origin: Origin): void {
    this.#blocks.set(block, { origin, origins: new Map() });
    if ("pemFiles" in block) block.pemFiles.forEach((pem) => this.#keepOrigin(pem, origin));
  }

  /** hitch's command line accepts only these two words, its files accept more. */
  #isWrongSwitch(name: OptionName, value: string, { source }: Origin): boolean {
    if (this.#dialect === "stud" || source.kind === "file" || /^(on|off)$/.test(value)) {
      return false;
    }
    const [shown] = namesOf(name, this.#dialect);
    this.#problems.push(
      `Invalid argument '${
        withoutCredentials(value)
      }' for option '${shown}': expected one of 'on' or 'off'`,
    );
    return true;
  }

  /** Returns undefined if anything in the block was reported: what it lacks is not another fault. */
  #block(
    name: OptionName,
    block: readonly Assignment[],
    origin: Origin,
    isFaulty: boolean,
  ): FrontendValue | PemValue | undefined {
    const values: Values = {};
    const rejected = new Set<OptionName>();
    const origins = this.#assign(block, values, rejected);
    if (isFaulty || rejected.size > 0) return undefined;
    const given = { origin, origins };
    return name === "frontend" ? this.#frontend(values, given) : this.#pemFile(values, given);
  }

  #pemFile(values: Values, given: BlockOrigin): PemValue {
    if (values.cert === undefined) {
      throw new ValueError('this block has no certificate; add cert = "FILE"');
    }
    const pem = values as PemValue;
    this.#blocks.set(pem, given);
    return pem;
  }

  #frontend(values: Values, given: BlockOrigin): FrontendValue {
    const { host, port, "pem-file": pemFiles, ...settings } = values;
    const frontend: FrontendValue = {
      listen: this.#listen(host as string | undefined, port as string | undefined),
      pemFiles: (pemFiles ?? []) as PemValue[],
      settings: settings as FrontendSettings,
    };
    this.#blocks.set(frontend, given);
    return frontend;
  }

  #listen(host: string | undefined, port: string | undefined): ListenAddress {
    const special = host === undefined ? undefined : parseUnix(host) ?? parseActivated(host);
    if (special) return special;
    if (port !== undefined) return { host: parseHost(host ?? "*"), port: parsePort(port) };
    throw new ValueError(
      'this block has no port; add port = "443"',
      `No port number specified for frontend '[${host ?? "*"}]'!`,
    );
  }

  /**
   * Only one of `tls`, `ssl` and `tls-protos` can be on: a second one from the same source is an
   * error (unless the last one applies in that source), one from an earlier source is overridden.
   * In files of hitch's dialect nothing may follow the one that is on, not even `off`.
   */
  #override(
    name: (typeof protocolOptions)[number],
    value: unknown,
    origin: Origin,
    into: Values,
    origins: ReadonlyMap<OptionName, Origin>,
  ): void {
    for (const other of protocolOptions) {
      const before = origins.get(other);
      if (other === name || (into[other] ?? false) === false) continue;
      const isRefused = this.#dialect === "hitch" && origin.source.kind === "file" &&
        origin.source === before?.source;
      if (value === false && !isRefused) continue;
      if (before && this.#conflict(name, other, origin, before)) return;
      if (value !== false) into[other] = other === "tls-protos" ? undefined : false;
    }
  }

  #conflict(name: string, other: string, origin: Origin, before: Origin): boolean {
    const isSame = origin.source === before.source;
    const isLine = origin.source.kind === "line";
    if (isSame && !origin.source.strict) return false;
    if (isSame && isLine) {
      this.#problems.push(exclusive(`--${other}`, `--${name}`));
    } else if (isSame) {
      const original = `It is illegal to specify ${name} after ssl, tls or tls-protos`;
      this.#problems.push(origin.message(`${other} and ${name} exclude each other`, original));
    } else if (isLine && this.#dialect === "hitch" && name !== "tls-protos") {
      this.#problems.push(
        "Deprecated options --tls and --ssl cannot be used to override tls-protos in a config " +
          "file. Use --tls-protos.",
      );
    } else {
      return false;
    }
    return true;
  }

  /** In stud's dialect, frontends of the command line and of files replace each other. */
  #replaceOthers(source: Source, into: Values): void {
    if (this.#dialect === "hitch" || !Array.isArray(into.frontend)) return;
    into.frontend = into.frontend.filter((frontend: object) =>
      this.#blocks.get(frontend)?.origin.source.kind === source.kind
    );
  }
}

/** The error for a value with a password, which no error shows. */
function notTaken(value: string): ValueError {
  return new ValueError(`${quote(value)} is not a value of this option; remove it`);
}

/** Returns both originals' text for two options that exclude each other. */
export function exclusive(one: string, other: string): string {
  return `Options ${one} and ${other} are mutually exclusive. Remove one of them.`;
}

function isProtocolOption(name: OptionName): name is (typeof protocolOptions)[number] {
  return protocolOptions.some((option) => option === name);
}
