import { UsageError } from "../base/errors.ts";
import { formatAddress, isIpAddress } from "./address.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Address } from "./config.ts";
import { formatValue } from "./format.ts";
import { helpOf, wrap } from "./help.ts";
import type { Option } from "./option.ts";
import { DEFAULT_FRONTEND, type FrontendValue, type PemValue } from "./blocks.ts";
import { withoutCredentials } from "./words.ts";
import { isIn, namesOf, type OptionName, optionOf, rows, type Settings } from "./table.ts";

/**
 * Returns a configuration file with these settings, each after its help, in a form that means the
 * same in both grammars. A setting without a value is commented out. Throws a UsageError for a value
 * that cannot be written in a file.
 */
export function defaultConfig(settings: Settings, dialect: Dialect): string {
  const blocks = rows
    .filter(([, option]) => isIn(option, "file"))
    .map(([name, option]) => {
      const comments = wrap(helpOf(option, option.default === undefined), 78).map((line) =>
        `# ${line}\n`
      );
      return comments.join("") + setting(name, option, settings, dialect);
    });
  return [`# Configuration of ${dialect}.\n`, ...blocks].join("\n");
}

type RepeatedValue = FrontendValue | PemValue | Address;

function setting(
  name: OptionName,
  option: Option,
  settings: Settings,
  dialect: Dialect,
): string {
  const [key] = namesOf(name, dialect);
  const value = settings[name as keyof Settings];
  if (option.repeat) {
    const lines = (value as readonly RepeatedValue[]).map((each) => `${key} = ${textOf(each)}\n`);
    if (lines.length > 0) return lines.join("");
    if (name === "frontend") return `${key} = "${DEFAULT_FRONTEND}"\n`;
    return `# ${key} = ${example(option)}\n`;
  }
  // hitch allows at most one of tls, ssl and tls-protos, and warns about the first two.
  const isUnset = value === undefined || (dialect === "hitch" && isDeprecated(name, settings));
  if (!isUnset) return `${key} = ${valueText(option, value)}\n`;
  return `# ${key} = ${example(option)}\n`;
}

function isDeprecated(name: OptionName, { ssl }: Settings): boolean {
  return name === "tls" || (name === "ssl" && !ssl);
}

function example(option: Option): string {
  if (option.form === "flag") return "on";
  if (option.form === "protocols") return "TLSv1.2 TLSv1.3";
  return `"${option.example ?? option.argument}"`;
}

function textOf(value: RepeatedValue): string {
  if ("pemFiles" in value) return frontendText(value);
  return "cert" in value ? pemText(value) : quoted(formatAddress(value));
}

function valueText(option: Option, value: unknown): string {
  const text = formatValue(value)!;
  if (option.isSecret) return secretText(text);
  if (option.form === "flag") return text;
  if (option.form === "number" && !text.includes(".")) return text;
  if (option.form === "protocols") return text.replaceAll(",", " ");
  return quoted(text);
}

/** Terminals and logs may keep what is printed. */
function secretText(text: string): string {
  const shown = withoutCredentials(text);
  return shown === text ? quoted(text) : `${quoted(shown)} # add the user and the password`;
}

function quoted(text: string): string {
  if (!text.includes('"') && !text.includes("\\")) return `"${text}"`;
  throw new UsageError(`--default-config: ${JSON.stringify(text)} cannot be written in a file`);
}

function frontendText({ listen, pemFiles, settings }: FrontendValue): string {
  const lines = isIpAddress(listen)
    ? [`host = ${quoted(listen.host)}`, `port = "${listen.port}"`]
    : [`host = ${quoted(formatAddress(listen))}`];
  lines.push(...pemFiles.map((pem) => `pem-file = ${pemText(pem)}`), ...keyLines(settings));
  const isPlain = pemFiles.length === 0 && Object.keys(settings).length === 0;
  return isPlain ? quoted(formatAddress(listen)) : block(lines);
}

function pemText(pem: PemValue): string {
  return Object.keys(pem).length === 1 ? quoted(pem.cert) : block(keyLines(pem));
}

function keyLines(values: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} = ${valueText(optionOf(name as OptionName), value)}`);
}

function block(lines: readonly string[]): string {
  const indented = lines.flatMap((line) => line.split("\n")).map((line) => `  ${line}\n`);
  return `{\n${indented.join("")}}`;
}
