/** Texts generated from the table of options. */
import { UsageError } from "../base/errors.ts";
import { buildsWith, isInEveryBuild } from "./builds.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Option } from "./option.ts";
import {
  type Subcommand,
  type SubcommandName,
  subcommandOf,
  type SubcommandOption,
  subcommands,
} from "./subcommands.ts";
import { isIn, namesIn, namesOf, type OptionName, rows } from "./table.ts";
import { nearest, quote } from "./words.ts";

/** Returns what `--help` prints, in lines of at most 80 columns. */
export function helpText(dialect: Dialect): string {
  const lines = [
    `Usage: ${dialect} [OPTIONS] PEM...`,
    ...(dialect === "stud" ? ["       stud help [WORD...]", "       stud COMMAND [OPTIONS]"] : []),
    "Terminates TLS and forwards the plain bytes to a backend.",
    "",
    ...wrap(
      "Each PEM file contains a certificate, its chain and its private key. The last one serves " +
        "clients that send no server name or an unknown one. Every option except the actions is " +
        "also a key in configuration files.",
      80,
    ),
  ];
  const commands = dialect === "stud"
    ? ["", "Commands, described by stud help COMMAND:", ...commandRows().flatMap(commandLines)]
    : [];
  return [...lines, ...commands, ...optionLines(commandLineRows(), dialect)].join("\n") + "\n";
}

/** Returns what `stud status --help` prints, in lines of at most 80 columns. */
export function subcommandHelp(name: SubcommandName): string {
  const { summary, options, notes } = subcommandOf(name);
  return [
    `Usage: ${subcommandUsage(name)}`,
    summary,
    "",
    ...Object.entries(options).flatMap(([option, row]) =>
      helpLines(`  ${subcommandOptionUsage(option, row)}`, row.help)
    ),
    ...helpLines("  -h, --help", "Print this help."),
    ...notes.flatMap((note) => ["", ...wrap(note, 80)]),
  ].join("\n") + "\n";
}

/** Returns `stud check [OPTIONS] HOST:PORT`. */
function subcommandUsage(name: SubcommandName): string {
  const { argument } = subcommandOf(name);
  return `stud ${name} [OPTIONS]${argument ? ` ${argument}` : ""}`;
}

/** Returns `--admin ADDRESS`, `--json` or `--no-wait`. */
export function subcommandOptionUsage(name: string, { argument, isOn }: SubcommandOption): string {
  return `--${isOn ? "no-" : ""}${name}${argument ? ` ${argument}` : ""}`;
}

/** Returns the names and rows of all commands. */
export function commandRows(): readonly (readonly [SubcommandName, Subcommand])[] {
  return Object.entries(subcommands) as [SubcommandName, Subcommand][];
}

/** Returns what `stud help WORD...` prints: options with a word in a name or in their heading. */
export function helpAbout(words: readonly string[], dialect: Dialect): string {
  if (words.length === 0) return helpText(dialect);
  const wanted = words.map((word) => word.toLowerCase());
  const found = commandLineRows().filter(([name, { group }]) => {
    const about = [...namesOf(name, dialect), group.toLowerCase()];
    return wanted.some((word) => about.some((text) => text.includes(word)));
  });
  if (found.length > 0) return optionLines(found, dialect).slice(1).join("\n") + "\n";
  const commands = dialect === "stud" ? commandRows().map(([name]) => name) : [];
  const near = nearest(wanted[0]!, [...commands, ...namesIn("line", dialect).keys()]);
  throw new UsageError(
    `help: no command is called ${quote(words.join(" "))}, and no option has it in its name; ` +
      (near ? `did you mean ${near}?` : "stud help shows all of them"),
  );
}

/** Returns the options as a Markdown table. */
export function optionTable(): string {
  const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``;
  const lines = commandLineRows().map(([name, option]) => {
    const value = option.default ? code(option.default) : "";
    const help = helpOf(option, false).replaceAll("|", "\\|");
    return `| ${code(usage(name, option, "stud", ""))} | ${value} | ${help} |`;
  });
  return [
    "| Option | Default | Meaning |",
    "|---|---|---|",
    ...lines,
  ].join("\n");
}

/** Returns the rows of the options that the command line accepts. */
export function commandLineRows(): readonly (readonly [OptionName, Option])[] {
  return rows.filter(([, option]) => isIn(option, "line"));
}

/** Returns `-n, --workers N|auto`; `pad` replaces a missing short letter. */
export function usage(
  name: OptionName,
  { short, argument }: Option,
  dialect: Dialect,
  pad: string,
): string {
  const [shown] = namesOf(name, dialect);
  return `${short ? `-${short}, ` : pad}--${shown}${argument ? ` ${argument}` : ""}`;
}

/** Returns the help text, with the builds that have the option and optionally its default. */
export function helpOf(option: Option, withDefault: boolean): string {
  const isWorthIt = withDefault && option.default && option.default !== "off";
  const value = isWorthIt ? ` Default: ${option.default}.` : "";
  const need = option.needs?.need;
  const builds = need && !isInEveryBuild(need)
    ? ` ${buildsWith(need).join(" and ")} build${buildsWith(need).length > 1 ? "s" : ""} only.`
    : "";
  return option.help + builds + value;
}

/** Wraps a text into lines of at most `width` columns, unless a word is longer. */
export function wrap(text: string, width: number): string[] {
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

function commandLines([name, { summary }]: readonly [SubcommandName, Subcommand]): string[] {
  return helpLines(`  ${name}`, summary);
}

/** Groups the options under headings, each after an empty line. */
function optionLines(options: ReturnType<typeof commandLineRows>, dialect: Dialect): string[] {
  let heading = "";
  return options.flatMap(([name, option]) => {
    const lines = heading === option.group ? [] : ["", `${option.group}:`];
    heading = option.group;
    return [
      ...lines,
      ...helpLines(`  ${usage(name, option, dialect, "    ")}`, helpOf(option, true)),
    ];
  });
}

function helpLines(left: string, text: string): string[] {
  const column = 32;
  const [first, ...others] = wrap(text, 80 - column);
  const indented = others.map((line) => " ".repeat(column) + line);
  if (left.length < column) return [left.padEnd(column) + first, ...indented];
  return [left, " ".repeat(column) + first, ...indented];
}
