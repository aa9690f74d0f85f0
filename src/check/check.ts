/** `stud check`: connects to a TLS server as a client, and reports what is wrong with it. */
import { escapedJson, oneLine } from "../base/one_line.ts";
import { print, printError } from "../base/print.ts";
import { recognize } from "../connection/foreign_protocol.ts";
import type { Given } from "../options/subcommands.ts";
import { ipFamily, splitZone } from "../os/ip.ts";
import { loadAuthorities, type NamedAuthorities } from "./authorities.ts";
import { certificateVerdicts } from "./certificate_verdicts.ts";
import { Connector } from "./connector.ts";
import { examine, type Question } from "./examine.ts";
import type { Facts } from "./facts.ts";
import { CheckFault } from "./fault.ts";
import { protocolVerdicts } from "./protocol_verdicts.ts";
import { otherKind, REPORT_VERSION, reportJson, reportText, worst } from "./report.ts";
import { parseTarget, type Target } from "./target.ts";
import type { Verdict } from "./verdict.ts";

const WELL = 0;
const PROBLEMS = 1;
const NOT_CHECKED = 2;

const ALPN = ["h2", "http/1.1"];
const TIMEOUT_S = 5;
const WARNING_DAYS = 21;

/**
 * Checks a server and prints the result. Returns the exit code: 0 if nothing is wrong, 1 if there are
 * problems, 2 if the server could not be checked. Throws a UsageError.
 */
export async function check(server: string, given: Given<"check">): Promise<number> {
  const target = parseTarget(server);
  const { json = false, strict = false } = given;
  const trusted = loadAuthorities(given.ca);
  for (const warning of trusted.warnings) printError(`stud: check: ${warning}`);
  try {
    const { facts, verdicts } = await inspect(target, given, trusted);
    print(json ? jsonText(reportJson(facts, verdicts)) : reportText(facts, verdicts));
    const level = worst(verdicts);
    return level === "problem" || (strict && level === "warning") ? PROBLEMS : WELL;
  } catch (error) {
    if (!(error instanceof CheckFault)) throw error;
    const { kind } = error;
    const { message, remedy } = explained(error);
    const { text } = target;
    if (json) {
      print(jsonText({
        ...{ version: REPORT_VERSION, target: text, result: "failed" },
        error: { kind, message, remedy },
      }));
    } else {
      printError(oneLine(`stud: check: ${text}: ${message}; ${remedy}`));
    }
    return NOT_CHECKED;
  }
}

/** Checks a server. Rejects with a CheckFault if that is impossible. */
export async function inspect(
  target: Target,
  given: Given<"check">,
  { authorities, file }: NamedAuthorities,
): Promise<{ readonly facts: Facts; readonly verdicts: readonly Verdict[] }> {
  const connector = await Connector.find(target, (given.timeout ?? TIMEOUT_S) * 1000);
  const question = { ...questionOf(target, given), authorities, authoritiesFile: file };
  const facts = await examine(connector, question);
  const days = given["certificate-warning-days"] ?? WARNING_DAYS;
  return { facts, verdicts: verdictsOn(facts, days) };
}

function questionOf(
  target: Target,
  { servername: serverName, alpn = ALPN }: Given<"check">,
): Omit<Question, "authorities" | "authoritiesFile"> {
  const host = "host" in target.place ? splitZone(target.place.host).address : "";
  const name = serverName || (target.name ?? host);
  const isDnsName = name !== "" && ipFamily(name) === 0;
  return {
    ...{ target: target.text, name, alpn },
    ...{ isHttp: target.isHttp, hasUnusedPath: target.hasUnusedPath },
    // SNI carries no addresses (RFC 6066 section 3).
    ...(isDnsName && serverName !== "" ? { serverName: name } : {}),
  };
}

function verdictsOn(facts: Facts, warningDays: number): Verdict[] {
  const expected = { warningDays, name: facts.name, now: facts.now };
  const others = facts.other ? certificateVerdicts(facts.other, facts, expected) : [];
  return [
    ...certificateVerdicts(facts.served, facts, expected),
    ...others.filter(({ level }) => level !== "ok").map((each) => ({
      ...each,
      text: `for clients that want ${otherKind(facts)}: ${each.text}`,
    })),
    ...protocolVerdicts(facts),
  ];
}

/** For terminals as well. */
function jsonText(document: object): string {
  return `${escapedJson(JSON.stringify(document, undefined, 2))}\n`;
}

interface Explained {
  readonly message: string;
  readonly remedy: string;
}

const WRONG_PORT = "check the port; protocols that begin in the clear (STARTTLS) cannot be checked";

/** Returns what to report of a fault. */
export function explained({ kind, message, received }: CheckFault): Explained {
  if (received && received.length > 0) {
    const foreign = recognize(received, "backend");
    const start = Buffer.from(received.subarray(0, 32)).toString("latin1");
    const what = foreign?.what ?? `something that begins with ${JSON.stringify(start)}`;
    if (foreign || kind === "not-tls") {
      return { message: `the server does not speak TLS; it sent ${what}`, remedy: WRONG_PORT };
    }
  }
  return { message, remedy: remedies[kind] };
}

const remedies: Readonly<Record<CheckFault["kind"], string>> = {
  unresolved: "check the name",
  unreachable: "check the address, and that the server runs",
  timeout: "check the port and firewalls; a stud with --accept-proxy waits for a PROXY header; " +
    "--timeout allows more time",
  closed: "check that this port speaks TLS, and see the server's log",
  reset: "check that this port speaks TLS, and see the server's log",
  "not-tls": WRONG_PORT,
  alert: "see the server's log for the reason",
  malformed: "check what listens there",
  unsupported: "examine it with openssl s_client",
};
