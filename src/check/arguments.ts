/** The command line of `stud check`. */
import { parseArgs } from "@std/cli/cli/parse_args.js";
import { UsageError } from "../base/errors.ts";
import { nearest, quote, withoutCredentials } from "../options/words.ts";
import { parseTarget, type Target } from "./target.ts";

export interface CheckArguments {
  readonly target: Target;
  readonly json: boolean;
  /** Warnings count as problems for the exit code. */
  readonly strict: boolean;
  /** To send as SNI, and what the certificate must be valid for; "" sends none. */
  readonly serverName?: string;
  readonly alpn: readonly string[];
  /** PEM file with CAs; absent: the system's. */
  readonly ca?: string;
  /** Of each step, in milliseconds. */
  readonly timeout: number;
  readonly warningDays: number;
}

export const CHECK_HELP = `Usage: stud check [OPTIONS] HOST[:PORT]
Connects to a TLS server as a client and says what is wrong with it, and what to
do. PORT is 443 unless it is given. HOST can also be an IPv6 address in brackets,
an https:// URL, or the path of a Unix socket.

  --servername NAME             Ask for this name (SNI), and expect a certificate
                                for it; "" sends no name. Default: HOST.
  --alpn LIST                   Offer these protocols; "" offers none.
                                Default: h2,http/1.1.
  --ca FILE                     Trust the CAs in this PEM file instead of the
                                system's.
  --timeout SECONDS             Time limit of each step: looking up the name,
                                connecting, a handshake. Default: 5.
  --certificate-warning-days N  Warn about certificates that end within N days.
                                Default: 21.
  --strict                      Exit with 1 also if there are only warnings.
  --json                        Print one JSON object.

Exit code: 0 if nothing is wrong, 1 if there are problems, 2 if the server could
not be checked.
`;

const STRINGS = ["servername", "alpn", "ca", "timeout", "certificate-warning-days"];
const BOOLEANS = ["json", "strict", "help"];

/** Parses the words after `check`; "help" if that is asked for. Throws a UsageError. */
export function parseCheckArguments(words: readonly string[]): CheckArguments | "help" {
  const problems: string[] = [];
  const parsed = parseArgs(words, {
    string: ["_", ...STRINGS],
    boolean: BOOLEANS,
    alias: { help: "h" },
    unknown(word, name) {
      if (name === undefined) return true;
      const near = nearest(name, [...STRINGS, ...BOOLEANS]);
      const remedy = near ? `did you mean --${near}?` : "stud check --help shows all of them";
      problems.push(
        `check: ${withoutCredentials(word)} is not an option of this command; ${remedy}`,
      );
      return false;
    },
  });
  if (parsed.help === true) return "help";
  const text = (name: string) => {
    const value = parsed[name];
    return typeof value === "string" ? value : undefined;
  };
  const number = (name: string, fallback: number, max: number) => {
    const value = text(name);
    if (value === undefined) return fallback;
    const found = /^\d{1,6}(\.\d{1,3})?$/.test(value) ? Number(value) : 0;
    if (found > 0 && found <= max) return found;
    problems.push(`check: --${name}: ${quote(value)} is no number above 0 and up to ${max}`);
    return fallback;
  };
  const [address, ...others] = parsed._;
  if (address === undefined) {
    problems.push("check: the server is missing; use stud check HOST:PORT");
  }
  if (others.length > 0) {
    problems.push(`check: ${quote(others.join(" "))} is too much; check one server at a time`);
  }
  const timeout = number("timeout", 5, 600) * 1000;
  const warningDays = number("certificate-warning-days", 21, 36_500);
  const serverName = text("servername");
  if (serverName !== undefined && !/^[\w.:-]{0,253}$/.test(serverName)) {
    problems.push(
      `check: --servername: ${quote(serverName)} is no name; use letters, digits, dots and hyphens`,
    );
  }
  const alpn = (text("alpn") ?? "h2,http/1.1").split(",").map((each) => each.trim())
    .filter((each) => each !== "");
  if (alpn.some((each) => !/^[!-~]{1,255}$/.test(each)) || alpn.length > 20) {
    problems.push("check: --alpn: use up to 20 names separated by commas, as in h2,http/1.1");
  }
  const ca = text("ca");
  if (ca === "") problems.push("check: --ca: the file name is empty; specify one, or omit --ca");
  if (problems.length > 0) throw new UsageError(problems);
  return {
    ...{
      target: parseTarget(address!),
      json: parsed.json === true,
      strict: parsed.strict === true,
    },
    ...(serverName === undefined ? {} : { serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...{ alpn, timeout, warningDays },
  };
}
