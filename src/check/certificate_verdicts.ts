/** Verdicts on a certificate and its chain, with remedies for a server that is stud. */
import { ipBytes, ipFamily, ipText } from "../os/ip.ts";
import type { Certificate } from "./certificate.ts";
import type { Facts, Served } from "./facts.ts";
import { about, type Verdict } from "./verdict.ts";

export const DAY_MS = 86_400_000;
const RELOAD = "then reload (stud reload, or SIGHUP)";

/** How long before its end a certificate is warned about, and what it must be valid for. */
export interface Expected {
  readonly warningDays: number;
  /** A DNS name or an address, "" for any. */
  readonly name: string;
  readonly now: number;
}

/** Returns the verdicts on a chain; the last ones are about its staple. */
export function certificateVerdicts(
  served: Served,
  facts: Pick<Facts, "handshake" | "authorities">,
  expected: Expected,
): Verdict[] {
  const [leaf] = served.certificates;
  if (!leaf) {
    return [
      about("chain").problem(
        "the server sent no certificate that can be read",
        `check the PEM file with stud --test, ${RELOAD}`,
      ),
    ];
  }
  return [
    ...chainVerdicts(served),
    nameVerdict(leaf, expected.name),
    ...validityVerdicts(served, expected),
    ...keyVerdicts(served, facts.handshake.isSigned),
    trustVerdict(served, facts.authorities),
    ...stapleVerdicts(served, leaf, expected.now),
  ];
}

function chainVerdicts({ certificates, chain, trust, unreadable }: Served): Verdict[] {
  const { ok, warning, problem } = about("chain");
  const found: Verdict[] = [];
  const named = (role: string) =>
    certificates.filter((_, at) => chain.roles[at] === role).map(({ subject }) => subject).join(
      "; ",
    );
  if (unreadable > 0) {
    found.push(problem(
      `${unreadable} of ${certificates.length + unreadable} certificates cannot be read`,
      `replace them in the PEM file, ${RELOAD}`,
    ));
  }
  if (chain.misplacedLeaf !== undefined) {
    found.push(problem(
      `the wrong order: the server's own certificate is number ${chain.misplacedLeaf + 1}, not 1`,
      `put it first in the PEM file, then the certificate that signed it, and so on, ${RELOAD}`,
    ));
  } else if (!chain.isOrdered) {
    found.push(warning(
      "the wrong order: a certificate comes before the one that it signed",
      `put each one after the one that it signed in the PEM file, ${RELOAD}`,
    ));
  }
  const [duplicates, foreign, root] = [named("duplicate"), named("foreign"), named("root")];
  if (duplicates !== "") {
    found.push(warning(`sent twice: ${duplicates}`, `remove it from the PEM file, ${RELOAD}`));
  }
  if (foreign !== "") {
    found.push(warning(
      `superfluous, since it did not sign any of the others: ${foreign}`,
      `remove it from the PEM file, ${RELOAD}`,
    ));
  }
  if (root !== "") {
    found.push(warning(
      `the root is sent too, which clients have or do not trust: ${root}`,
      `remove it from the PEM file, ${RELOAD}; every full handshake gets shorter`,
    ));
  }
  const missing = missingIssuer({ certificates, chain, trust, unreadable });
  if (missing) {
    const { issuer, issuerUrl } = missing;
    const from = issuerUrl === undefined ? "from its CA" : `from ${issuerUrl}`;
    found.push(problem(
      `an intermediate certificate is missing, or the CA is not known here: ${issuer} was not sent`,
      `get it ${from}, append it to the PEM file after the certificate that it signed, ${RELOAD}; ` +
        "for a CA of your own use --ca",
    ));
  }
  return found.length > 0 ? found : [ok(complete(certificates))];
}

function complete(certificates: readonly Certificate[]): string {
  const [leaf] = certificates;
  if (leaf!.isSelfIssued) return "self-signed, so there is no chain";
  const others = certificates.length - 1;
  const text = others === 1 ? "1 intermediate" : `${others} intermediates`;
  return others === 0
    ? "complete: a root signed the certificate itself"
    : `complete and in order, with ${text}`;
}

/** Returns the last certificate of the path if its issuer was neither sent nor is a known CA. */
function missingIssuer({ chain: { last }, trust }: Served): Certificate | undefined {
  return !trust.trusted && trust.isIncomplete && last && !last.isSelfIssued ? last : undefined;
}

function nameVerdict(leaf: Certificate, name: string): Verdict {
  const { ok, problem } = about("names");
  const all = [...leaf.names, ...leaf.addresses];
  const shown = all.length > 8
    ? `${all.slice(0, 8).join(", ")} and ${all.length - 8} more`
    : all.join(", ");
  const remedy = "get a certificate with this name from the CA, add its PEM file to the " +
    "configuration, and reload (stud reload, or SIGHUP)";
  if (leaf.hasOnlyCommonName) {
    return problem(
      "there is no subjectAltName, and clients ignore the common name",
      "get a new certificate from the CA with its names as subjectAltName",
    );
  }
  if (name === "") return ok(`it is for ${shown}; no name was asked for`);
  return isFor(leaf, name)
    ? ok(`it is for ${name}`)
    : problem(`it is not for ${name}, only for ${shown || "no name"}`, remedy);
}

/** Whether a certificate is for a DNS name or an address (RFC 9525 section 6). */
export function isFor({ names, addresses, hasOnlyCommonName }: Certificate, name: string): boolean {
  if (hasOnlyCommonName) return false;
  if (ipFamily(name) !== 0) return addresses.includes(ipText(ipBytes(name)));
  const wanted = name.toLowerCase();
  const parent = wanted.slice(wanted.indexOf("."));
  return names.some((each) =>
    each === wanted || (each.startsWith("*.") && wanted.includes(".") && each.slice(1) === parent)
  );
}

function validityVerdicts(
  { certificates, chain }: Served,
  { now, warningDays }: Expected,
): Verdict[] {
  const { ok, warning, problem } = about("validity");
  const renew = `renew it, replace the PEM file, ${RELOAD}`;
  const found = certificates.flatMap((each, at) => {
    const role = chain.roles[at];
    if (role !== "leaf" && role !== "intermediate") return [];
    const what = role === "leaf" ? "the certificate" : `the intermediate ${each.subject}`;
    const remedy = role === "leaf" ? renew : `get the CA's current intermediate; ${renew}`;
    const left = each.notAfter - now;
    const end = dateText(each.notAfter);
    if (now < each.notBefore) {
      return [problem(
        `${what} is not valid before ${dateText(each.notBefore)}`,
        `check this machine's clock; else use the old one until then, ${RELOAD}`,
      )];
    }
    if (left < 0) return [problem(`${what} expired ${daysText(-left)} ago, on ${end}`, remedy)];
    if (left < warningDays * DAY_MS) {
      return [warning(`${what} ends in ${daysText(left)}, on ${end}`, remedy)];
    }
    return [];
  });
  const [leaf] = certificates;
  return found.length > 0
    ? found
    : [ok(`${daysText(leaf!.notAfter - now)} left, until ${dateText(leaf!.notAfter)}`)];
}

function keyVerdicts({ certificates, chain }: Served, isSigned: boolean | undefined): Verdict[] {
  const { ok, warning, problem } = about("key");
  const found = certificates.flatMap((each, at) => {
    const role = chain.roles[at];
    if (each.weakness === undefined || role === "duplicate" || role === "foreign") return [];
    return [problem(
      `${role === "leaf" ? "the certificate" : each.subject} ${each.weakness}`,
      "get a new certificate with an ECDSA key on P-256, or RSA of 2048 bits, signed with SHA-256",
    )];
  });
  if (isSigned === false) {
    found.push(problem(
      "the server's signature does not fit the certificate's key",
      "check with stud --test that the key belongs to the certificate",
    ));
  }
  const [leaf] = certificates;
  if (found.length > 0) return found;
  const text = `${leaf!.key}, signed with ${leaf!.signature}`;
  // Nobody verifies it, but some clients refuse the certificate at sight.
  return /^(MD|SHA-1 )/.test(leaf!.signature)
    ? [warning(text, "make a new self-signed certificate, signed with SHA-256")]
    : [ok(text)];
}

function trustVerdict({ trust, certificates: [leaf] }: Served, file: string): Verdict {
  const { ok, problem } = about("trust");
  if (trust.trusted) {
    const constrained = trust.path.find(({ hasNameConstraints }) => hasNameConstraints);
    const unchecked = constrained
      ? `; the name constraints of ${constrained.subject} are not checked here`
      : "";
    return ok(`it leads to ${trust.path.at(-1)!.subject} in ${file}${unchecked}`);
  }
  if (leaf!.isSelfIssued && trust.isIncomplete) {
    return problem(
      `it is self-signed, and not in ${file}`,
      "get a certificate from a CA; for a test, pass it as --ca",
    );
  }
  return problem(
    `clients with the CAs of ${file} do not trust it: ${trust.reason}`,
    trust.isIncomplete
      ? "complete the chain, or use --ca with the file of its CA"
      : "replace what is named, and reload (stud reload, or SIGHUP)",
  );
}

function stapleVerdicts({ staple }: Served, leaf: Certificate, now: number): Verdict[] {
  const { ok, warning, problem } = about("OCSP");
  const must = leaf.mustStaple;
  const enable = "use the Node build with --ocsp-dir, or ocsp-resp-file";
  if (!staple) {
    if (must) {
      return [
        problem("the certificate requires a staple (must-staple), and none was sent", enable),
      ];
    }
    return [ok(
      leaf.ocspUrl === undefined
        ? "no staple, and the CA has no responder"
        : "no staple; the certificate does not require one",
    )];
  }
  const renew =
    "remove the response from --ocsp-dir or ocsp-resp-file, so that stud gets a new one";
  const { status, thisUpdate = 0, nextUpdate } = staple;
  if (status === "revoked") {
    return [
      problem(
        "the CA has revoked the certificate",
        `get a new one, replace the PEM file, ${RELOAD}`,
      ),
    ];
  }
  const say = must ? problem : warning;
  if (status !== "good") {
    const text = status === "unknown"
      ? "the responder does not know the certificate"
      : status === "unreadable"
      ? "the staple cannot be read"
      : "the staple is for another certificate";
    return [say(text, renew)];
  }
  const age = `${daysText(now - thisUpdate)} old`;
  if (nextUpdate !== undefined && nextUpdate < now) {
    return [say(`the staple expired on ${dateText(nextUpdate)}`, renew)];
  }
  if (thisUpdate > now + DAY_MS / 24) {
    return [say(`the staple is valid only from ${dateText(thisUpdate)}`, renew)];
  }
  const until = nextUpdate === undefined ? "" : `, valid until ${dateText(nextUpdate)}`;
  return [ok(`good, ${age}${until}; its signature is not checked here`)];
}

/** Returns `12 days`, hours for less than two days, or `less than an hour`. */
export function daysText(milliseconds: number): string {
  const hours = Math.max(0, Math.floor(milliseconds / 3_600_000));
  if (hours === 0) return "less than an hour";
  if (hours < 48) return hours === 1 ? "1 hour" : `${hours} hours`;
  return `${Math.floor(hours / 24)} days`;
}

/** Returns `2027-01-31 12:00 UTC`. */
export function dateText(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
