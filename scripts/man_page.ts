/** The manual page, in roff with the man macros (man-pages(7), groff_man(7)). */
import {
  commandLineRows,
  commandRows,
  helpOf,
  subcommandOptionUsage,
  usage,
} from "../src/options/help.ts";
import { groups } from "../src/options/option.ts";
import { isIn, rows } from "../src/options/table.ts";

/** Returns the text of stud.8. */
export function manPage(): string {
  return [
    '.TH STUD 8 "" "stud" "System Manager\'s Manual"',
    ...section("NAME", "stud \\- TLS-terminating proxy"),
    ".SH SYNOPSIS",
    ".B stud",
    ".RI [ OPTIONS ]",
    ".IR PEM ...",
    ".br",
    ".B stud help",
    ".RI [ WORD ...]",
    ...commandRows().flatMap(([name, { argument }]) => [
      ".br",
      `.B stud ${name}`,
      `.RI [ OPTIONS ]${argument ? ` " ${roff(argument)}"` : ""}`,
    ]),
    ...section(
      "DESCRIPTION",
      "stud accepts TLS connections and forwards the decrypted bytes of each one to a backend, over a " +
        "separate connection. Each PEM file holds a certificate, its chain and its private key. " +
        "The last one serves clients that request no name or a name that no file has.",
      "stud help describes all options, or those with one of the words in a name or a heading.",
      "stud accepts the command lines and the configuration files of two older programs, stud and " +
        "hitch. Run as hitch, or with --compat=hitch, it uses hitch's dialect: --write-proxy then " +
        "means version 2, addresses are always written as [HOST]:PORT, and options override " +
        "configuration files, regardless of their order.",
    ),
    ".SH COMMANDS",
    "These commands are no part of the two older programs: in hitch's dialect their names are PEM",
    "files, and in stud's a PEM file with such a name is written ./status.",
    ...commandRows().flatMap(([name, { summary, argument, options, notes }]) => [
      `.SS "stud ${name}${argument ? ` ${roff(argument)}` : ""}"`,
      roff(summary),
      ...Object.entries(options).flatMap(([option, row]) => {
        const { argument: value, ...flag } = row;
        const names = roff(subcommandOptionUsage(option, flag));
        return item(value ? `.BI "${names} " "${roff(value)}"` : `.B ${names}`, row.help);
      }),
      ...notes.flatMap((note) => [".PP", roff(note)]),
    ]),
    ".SH OPTIONS",
    "Options may be abbreviated to a unique prefix, and mixed with PEM files;",
    ".B \\-\\-",
    "ends them. A flag also accepts =on and =off. Every option except the actions is also a key of",
    "configuration files, under its long name.",
    ...groups.flatMap(groupText),
    ...files,
    ...section(
      "SIGNALS",
      "SIGTERM, SIGQUIT and SIGINT stop stud: it refuses new connections, still serves those that " +
        "wait in the queue, and gives open ones --drain-timeout to finish; a second signal cuts them " +
        "at once.",
      "SIGHUP reloads the configuration and the certificates without closing a connection; an error " +
        "in them changes nothing. Many signals within a second cause one or two reloads.",
      "SIGUSR1 reopens the log file.",
      "SIGUSR2 starts the program that is now at stud's path, with the same listening sockets; the old " +
        "process then exits after its last connection closes. If the program cannot serve, nothing " +
        "changes.",
      "SIGTERM to a worker replaces it; its connections continue until they close.",
    ),
    ...section(
      "EXIT STATUS",
      "0 after a stop that cut no connection, and after actions that succeeded; 3 after a stop that " +
        "cut connections, because the time limit elapsed or a second signal arrived; 1 after any " +
        "error. Each error in the configuration is one line on standard error; stud reports all of " +
        "them.",
      "The commands have exit codes of their own, which are described with each of them.",
    ),
    ".SH FILES",
    ...item(".I /var/lib/hitch/", "OCSP responses in hitch's dialect, if the directory exists."),
    ...item(".I /etc/services", "Port names."),
    ".SH EXAMPLES",
    ...example(
      "Put a certificate, its chain and its key into one file that only its owner can read:",
      [
        "(umask 077; cat site.crt chain.crt site.key > site.pem)",
      ],
    ),
    ...example("Accept TLS on port 443 of every address:", [
      "stud -f '*,443' -b 127.0.0.1,8080 site.pem",
    ]),
    ...example("Tell the backend who the client is, with two names:", [
      "stud -f '*,443' -b /run/app.sock --write-proxy-v2 \\",
      "    www.example.com.pem example.com.pem",
    ]),
    ...example("Check a configuration without starting anything:", [
      "stud --config /etc/stud.conf --test",
    ]),
    ...example("Connect to a backend over TLS for a program that cannot:", [
      "stud --client -f 127.0.0.1,8080 -b api.example.com,https",
    ]),
    ".SH SEE ALSO",
    ".BR openssl (1),",
    ".BR ciphers (1),",
    ".BR systemd.socket (5),",
    ".BR services (5)",
  ].join("\n") + "\n";
}

const files = [
  ...section(
    "CONFIGURATION FILE",
    "There are two formats. The first has one key per line. The value ends at the next space, unless " +
      "it is quoted; a # at the start of a line, or after the value, begins a comment. Later lines " +
      "override earlier ones, but frontend and pem-file accumulate.",
  ),
  ...listing([
    "# One service that receives its clients' addresses.",
    'frontend = "[*]:443"',
    'backend = "127.0.0.1,8080"',
    'pem-file = "/etc/stud/example.com.pem"',
    "workers = 4",
    "write-proxy = on",
  ]),
  ".PP",
  roff(
    "The second is hitch's: newlines are equivalent to spaces, strings are quoted, and frontend and " +
      "pem-file may be blocks. In stud's dialect a file is read this way if it contains a { outside " +
      "quotes and comments, in hitch's dialect always.",
  ),
  ...listing([
    "frontend = {",
    '    host = "*"',
    '    port = "443"',
    "    tls-protos = TLSv1.2 TLSv1.3",
    '    pem-file = "/etc/stud/example.com.pem"',
    "    pem-file = {",
    '        cert = "/etc/stud/members.example.com.crt"',
    '        private-key = "/etc/stud/members.example.com.key"',
    "        client-verify = required",
    '        client-verify-ca = "/etc/stud/members-ca.pem"',
    "    }",
    "}",
    'backend = "[127.0.0.1]:8080"',
    "write-proxy-v2 = on",
  ]),
  ".PP",
  roff(
    `A frontend block may contain: ${keys("frontend")}. A pem-file block: ${keys("pem")}. What a ` +
      "frontend does not set is inherited from the top level. These keys exist only in blocks:",
  ),
  ...rows.filter(([, option]) => !isIn(option, "line") && !isIn(option, "file")).flatMap((
    [name, option],
  ) => item(`.BI "${roff(name)} = " ${roff(option.argument ?? "on|off")}`, helpOf(option, true))),
];

function keys(place: "frontend" | "pem"): string {
  return rows.filter(([, option]) => isIn(option, place)).map(([name]) => name).join(", ");
}

function groupText(group: string): string[] {
  const options = commandLineRows().filter(([, option]) => option.group === group);
  if (options.length === 0) return [];
  return [
    `.SS "${roff(group)}"`,
    ...options.flatMap(([name, option]) => {
      const { argument, ...flag } = option;
      const names = roff(usage(name, flag, "stud", ""));
      const head = argument ? `.BI "${names} " "${roff(argument)}"` : `.B ${names}`;
      return item(head, helpOf(option, true));
    }),
  ];
}

function section(title: string, ...paragraphs: string[]): string[] {
  const [first, ...others] = paragraphs.map(roff);
  return [`.SH "${title}"`, first!, ...others.flatMap((text) => [".PP", text])];
}

function item(head: string, text: string): string[] {
  return [".TP", head, roff(text)];
}

function example(title: string, lines: readonly string[]): string[] {
  return [".PP", roff(title), ...listing(lines)];
}

function listing(lines: readonly string[]): string[] {
  return [".PP", ".RS 4", ".nf", ...lines.map(roff), ".fi", ".RE"];
}

/** Escapes characters that roff would interpret, or that not every terminal can show. */
function roff(text: string): string {
  return text
    .replaceAll("\\-", "-")
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("…", "...")
    .replaceAll("'", "\\(aq")
    .replaceAll('"', "\\(dq")
    .replace(/^\./, "\\&.");
}
