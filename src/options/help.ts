/** Texts made from the table of options. */
import type { Address } from "./config.ts";
import { formatAddress } from "./address.ts";
import { buildsWith, everywhere } from "./builds.ts";
import { type Option, type OptionName, rows, type Settings } from "./table.ts";

/** What `--help` prints; lines of at most 80 columns. */
export function helpText(): string {
  const lines = [
    "Usage: stud [OPTIONS] PEM...",
    "Terminates TLS and passes the plain bytes on to a backend.",
    "",
    ...wrap(
      "Each PEM file holds a certificate, its chain and its private key. The last one serves " +
        "clients that ask for no name or for one that no file has.",
      80,
    ),
  ];
  let group = "";
  for (const [name, option] of current) {
    if (option.group !== group) lines.push("", `${option.group}:`);
    group = option.group;
    lines.push(...helpLines(`  ${usage(name, option, "    ")}`, helpOf(option)));
  }
  lines.push("", ...wrap(laterText((name) => `--${name}`), 80));
  return lines.join("\n") + "\n";
}

/**
 * A configuration file with these settings, in stud's form `name = "value"`. A setting without a
 * value is there as a comment.
 */
export function defaultConfig(settings: Settings): string {
  const blocks = current.filter(([, option]) => option.parse).map(([name, option]) => {
    const value = formatValue(settings[name as keyof Settings]);
    const comments = wrap(helpOf({ ...option, default: "" }), 78).map((line) => `# ${line}\n`);
    return `${comments.join("")}${value === undefined ? "# " : ""}${name} = "${value ?? ""}"\n`;
  });
  return ["# Configuration of stud.\n", ...blocks].join("\n");
}

/** The options as a Markdown table. */
export function optionTable(): string {
  const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``;
  const lines = current.map(([name, option]) => {
    const value = option.default ? code(option.default) : "";
    return `| ${code(usage(name, option, ""))} | ${value} | ${
      helpOf({ ...option, default: "" })
    } |`;
  });
  return [
    "| Option | Default | Meaning |",
    "|---|---|---|",
    ...lines,
    "",
    laterText((name) => code(`--${name}`)),
  ].join("\n");
}

/** The text that {@link options} would parse to this value; undefined for an unset one. */
export function formatValue(value: Settings[keyof Settings]): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value !== "object") return String(value);
  return isAddress(value) ? formatAddress(value) : value.join(",");
}

const current = rows.filter(([, option]) => !option.later);

function isAddress(value: object): value is Address {
  return "host" in value;
}

/** `-n, --workers N|auto`; `pad` takes the place of a short letter that is missing. */
function usage(name: OptionName, { short, argument }: Option, pad: string): string {
  return `${short ? `-${short}, ` : pad}--${name}${argument ? ` ${argument}` : ""}`;
}

/** The help text, with the builds that have the option and with a default worth saying. */
function helpOf(option: Option): string {
  const shown = option.default && option.default !== "off";
  const value = shown ? ` Default: ${option.default}.` : "";
  const need = option.needs?.need;
  const builds = need && !everywhere(need) ? ` ${buildsWith(need).join(" and ")} builds only.` : "";
  return option.help + builds + value;
}

function laterText(format: (name: OptionName) => string): string {
  const names = rows.filter(([, option]) => option.later).map(([name]) => format(name));
  return `Recognised but not built yet in this version: ${names.join(", ")}.`;
}

function helpLines(left: string, text: string): string[] {
  const column = 32;
  const [first, ...others] = wrap(text, 80 - column);
  const indented = others.map((line) => " ".repeat(column) + line);
  if (left.length < column) return [left.padEnd(column) + first, ...indented];
  return [left, " ".repeat(column) + first, ...indented];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === "" ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}
