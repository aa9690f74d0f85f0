/** The manual page, in roff with the man macros (man-pages(7), groff_man(7)). */
import { helpOf, lineRows, usage } from "../src/options/help.ts";
import { groups } from "../src/options/option.ts";
import { isIn, rows } from "../src/options/table.ts";

/** The text of stud.8. */
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
    ...section(
      "DESCRIPTION",
      "stud accepts TLS connections and passes the plain bytes of each one on to a backend, over one " +
        "connection of its own. Each PEM file holds a certificate, its chain and its private key. " +
        "The last one serves clients that ask for no name or for one that no file has.",
      "stud help tells about all options, or about those with one of the words in a name or a heading.",
      "It takes the command lines and the configuration files of two older programs, stud and hitch. " +
        "Called as hitch, or with --compat=hitch, it speaks the dialect of the latter: --write-proxy " +
        "then means version 2, addresses are always written as [HOST]:PORT, and options count more " +
        "than configuration files, wherever they stand.",
    ),
    ".SH OPTIONS",
    "Options may be shortened while they are unique, and mixed with PEM files;",
    ".B \\-\\-",
    "ends them. A flag also takes =on and =off. Every option but the actions is a key of configuration",
    "files too, under its long name.",
    ...groups.flatMap(groupText),
    ...files,
    ...section(
      "SIGNALS",
      "SIGTERM, SIGQUIT and SIGINT stop it: new connections are refused, those that wait are still " +
        "served, and open ones have --drain-timeout to end; a second signal cuts them at once.",
      "SIGHUP reads the configuration and the certificates again, without ending a connection; a " +
        "mistake in them changes nothing. Many signals within a second make one or two reloads.",
      "SIGUSR1 opens the log file again.",
      "SIGUSR2 starts the program that lies at its path by now, with the same listening sockets, and " +
        "then ends with the last connection; a program that cannot serve changes nothing.",
      "SIGTERM to a worker replaces it; its connections go on until they end.",
    ),
    ...section(
      "EXIT STATUS",
      "0 after a stop that cut no connection, and after actions that succeeded; 3 after a stop that " +
        "cut some, because time was up or a second signal came; 1 after any error. Each mistake in " +
        "the configuration is one line on standard error, and all of them are shown.",
    ),
    ".SH FILES",
    ...item(".I /var/lib/hitch/", "OCSP responses in hitch's dialect, if the directory exists."),
    ...item(".I /etc/services", "Names of ports."),
    ".SH EXAMPLES",
    ...example("Accept TLS on port 443 of every address:", [
      "stud -f '*,443' -b 127.0.0.1,8080 site.pem",
    ]),
    ...example("Tell the backend who the client is, with two names:", [
      "stud -f '*,443' -b /run/app.sock --write-proxy-v2 \\",
      "    www.example.com.pem example.com.pem",
    ]),
    ...example("Check a configuration, start nothing:", ["stud --config /etc/stud.conf --test"]),
    ...example("Speak TLS to a backend for a program that cannot:", [
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
    "Two forms are understood. The first has one key on each line. The value ends at the next space, " +
      "unless it is in quotes; a # at the start of a line, or after the value, begins a remark. Later " +
      "lines count more; frontend and pem-file add up.",
  ),
  ...listing([
    "# One service, told who its clients are.",
    'frontend = "[*]:443"',
    'backend = "127.0.0.1,8080"',
    'pem-file = "/etc/stud/example.com.pem"',
    "workers = 4",
    "write-proxy = on",
  ]),
  ".PP",
  roff(
    "The second is hitch's: newlines mean no more than spaces, texts are in quotes, and frontend and " +
      "pem-file may be blocks. In stud's dialect a file is read so if there is a { in it outside " +
      "quotes and remarks, in hitch's dialect always.",
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
    `In a frontend block may stand: ${keys("frontend")}. In a pem-file block: ${
      keys("pem")
    }. What a ` +
      "frontend does not set is as at the top level. These keys stand in blocks only:",
  ),
  ...rows.filter(([, option]) => !isIn(option, "line") && !isIn(option, "file")).flatMap((
    [name, option],
  ) => item(`.BI "${roff(name)} = " ${roff(option.argument ?? "on|off")}`, helpOf(option, true))),
];

function keys(place: "frontend" | "pem"): string {
  return rows.filter(([, option]) => isIn(option, place)).map(([name]) => name).join(", ");
}

function groupText(group: string): string[] {
  const options = lineRows().filter(([, option]) => option.group === group);
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

/** Characters that roff would take for itself, or that not every terminal has. */
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
