/**
 * The table of commands, such as `stud status`. To add one, write its row here and its module in
 * `command.ts`; `stud --help`, `stud help NAME` and the manual page are made from the row.
 */
import { parseAdmin } from "./address.ts";
import { integer, type Parse, seconds } from "./values.ts";
import { alpnList, serverName } from "./check_values.ts";

export interface Subcommand {
  /** One line of `stud --help`. */
  readonly summary: string;
  /** The placeholder of its only argument; absent: it takes none. */
  readonly argument?: string;
  /** By name, without dashes. */
  readonly options: Readonly<Record<string, SubcommandOption>>;
  /** Paragraphs that end its help: the exit codes, and what else a user has to know. */
  readonly notes: readonly string[];
}

export interface SubcommandOption {
  /** The placeholder of its value; absent: it is a flag. */
  readonly argument?: string;
  readonly help: string;
  /** The parser of its value; absent: any text but an empty one. */
  readonly parse?: Parse<unknown>;
  /** An empty value has a meaning. */
  readonly mayBeEmpty?: true;
  /** The flag is on, and is shown and given as `--no-NAME`. */
  readonly isOn?: true;
}

/** Where a stud with `--admin` listens unless its administrator chose another address. */
export const DEFAULT_ADMIN_SOCKET = "/run/stud/admin.sock";
/** The pid files that are tried without an option. */
export const DEFAULT_PID_FILES: readonly string[] = ["/run/stud/stud.pid", "/run/stud.pid"];

/** Which stud is asked; the options of all commands that use the admin endpoint. */
const endpointOptions = {
  "admin": {
    argument: "ADDRESS",
    help: "The address of the admin endpoint: /PATH, @NAME, HOST,PORT or [HOST]:PORT.",
    parse: (text: string) => parseAdmin(text, "stud"),
  },
  "admin-token-file": {
    argument: "FILE",
    help: "A file with the endpoint's token. Default: the one in the configuration that was found.",
  },
  "config": {
    argument: "FILE",
    help: "Use the admin endpoint of this configuration file.",
  },
  "pidfile": {
    argument: "FILE",
    help: "Use the admin endpoint of the stud with this pid file.",
  },
} as const satisfies Subcommand["options"];

const FINDING = "Without --admin, --config and --pidfile it uses the endpoint of the process in " +
  `${DEFAULT_PID_FILES.join(" or ")}, otherwise the socket ${DEFAULT_ADMIN_SOCKET}. ` +
  "No environment variable is read.";

export const subcommands = {
  "status": {
    summary: "Show what a running stud does and what is wrong.",
    options: {
      "json": { help: "Print the whole status document as JSON." },
      ...endpointOptions,
    },
    notes: [
      FINDING,
      "Exit codes: 0 if all is well, 1 if stud is degraded, draining or not ready, 2 if it does not " +
      "answer or the command line is wrong.",
    ],
  },
  "top": {
    summary: "Watch a running stud in this terminal.",
    options: {
      "interval": {
        argument: "SECONDS",
        help: "The time between two updates. Default: 1.",
        parse: seconds,
      },
      ...endpointOptions,
    },
    notes: [
      FINDING,
      "Keys: q quits, p pauses, s or the right arrow sorts the workers by the next column, the left " +
      "arrow by the previous one, r reverses the order, the up and down arrows scroll, ? shows help.",
      "Exit codes: 0 after q, 2 if stud does not answer at the start, if this is no terminal, or if " +
      "the command line is wrong.",
    ],
  },
  "reload": {
    summary: "Reload the configuration of a running stud, and show the result.",
    options: {
      "wait": { isOn: true, help: "Do not wait for the result. --wait is the default." },
      "timeout": {
        argument: "SECONDS",
        help: "The longest time to wait for the result. Default: 90.",
        parse: seconds,
      },
      ...endpointOptions,
    },
    notes: [
      FINDING,
      "If the process of the pid file has no admin endpoint, it gets SIGHUP; its result is then only " +
      "in its log.",
      "Exit codes: 0 if the reload succeeded, or was requested with --no-wait; 1 if it failed and " +
      "the former configuration stays in use; 2 if the result is not known or the command line is " +
      "wrong.",
    ],
  },
  "check": {
    summary: "Examine a TLS server as a client: what is wrong with it, and what to do.",
    argument: "HOST[:PORT]",
    options: {
      "servername": {
        argument: "NAME",
        help: "Ask for this name (SNI), and expect a certificate for it; an empty one sends no " +
          "name. Default: HOST.",
        parse: serverName,
        mayBeEmpty: true,
      },
      "alpn": {
        argument: "LIST",
        help: "Offer these protocols by ALPN; an empty list offers none. Default: h2,http/1.1.",
        parse: alpnList,
        mayBeEmpty: true,
      },
      "ca": {
        argument: "FILE",
        help: "Trust the CAs in this PEM file instead of the system's.",
      },
      "timeout": {
        argument: "SECONDS",
        help: "The longest time for each step: to look up the name, to connect, and for each " +
          "handshake. Default: 5.",
        parse: seconds,
      },
      "certificate-warning-days": {
        argument: "N",
        help: "Warn about certificates that end within this time. Default: 21.",
        parse: integer(0, 36_500),
      },
      "strict": { help: "Exit with 1 for warnings too." },
      "json": { help: "Print one JSON object." },
    },
    notes: [
      "The port is 443 unless it is given. HOST can also be an IPv6 address in brackets, an https:// " +
      "URL, or the path of a Unix socket. The check makes up to 20 connections, four at a time.",
      "Exit codes: 0 if nothing is wrong, 1 if there are problems, 2 if the server could not be " +
      "checked or the command line is wrong.",
    ],
  },
} as const satisfies Record<string, Subcommand>;

export type SubcommandName = keyof typeof subcommands;

type OptionsOf<N extends SubcommandName> = (typeof subcommands)[N]["options"];

/** The options that a command was given: the parsed value, the text, or true or false for a flag. */
export type Given<N extends SubcommandName> = {
  readonly [O in keyof OptionsOf<N>]?: OptionsOf<N>[O] extends { parse: Parse<infer V> } ? V
    : OptionsOf<N>[O] extends { argument: string } ? string
    : boolean;
};

/** The options of all commands that use the admin endpoint. */
export type EndpointOptions = Pick<Given<"status">, keyof typeof endpointOptions>;

/** Returns the row of a command. */
export function subcommandOf(name: SubcommandName): Subcommand {
  return subcommands[name];
}

/** True for the name of a command. */
export function isSubcommand(name: string | undefined): name is SubcommandName {
  return name !== undefined && Object.hasOwn(subcommands, name);
}
