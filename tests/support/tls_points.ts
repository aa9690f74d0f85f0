/** Requirements for the TLS that a build offers by default. */
import type { Finding, Scan } from "./scanners.ts";
import type { Target } from "./target.ts";

/** What was found, in a few words, and whether it meets the requirement. */
export interface PointResult {
  readonly found: string;
  readonly isGood: boolean;
}

/** Checks by requirement. */
type Points<T> = Readonly<Record<string, (seen: T, target: Target) => PointResult>>;

/** Checked with sslscan. */
export const scanPoints: Points<Scan> = {
  "TLS 1.2 and 1.3 only": ({ protocols }) => ({
    found: protocols.join(", "),
    isGood: protocols.join() === "TLSv1.2,TLSv1.3",
  }),
  "forward secrecy only": ({ ciphers }) => all(ciphers, /^(TLS_|ECDHE-|DHE-)/),
  "authenticated encryption only": ({ ciphers }) => all(ciphers, /GCM|CHACHA20/),
  "no renegotiation by the client": ({ renegotiation }) => ({
    found: renegotiation ? "possible" : "refused",
    isGood: !renegotiation,
  }),
  "not vulnerable to Heartbleed": ({ heartbleed }) => ({
    found: heartbleed ? "vulnerable" : "not vulnerable",
    isGood: !heartbleed,
  }),
};

/** Checked with testssl. */
export const findingPoints: Points<readonly Finding[]> = {
  "no known weakness": (findings, target) => {
    const weak = findings.filter((finding) => isWeakness(finding) && !isExpected(finding, target));
    const missing = VULNERABILITIES.filter((id) => severityOf(findings, id) === undefined);
    const found = [
      ...weak.map(({ id, severity, finding }) => `${id}: ${finding} (${severity})`),
      ...missing.map((id) => `${id} was not tried`),
    ];
    return {
      found: found.join("; ") || `${VULNERABILITIES.length} tried`,
      isGood: found.length === 0,
    };
  },
  "no compression": (findings) => good(findings, "CRIME_TLS"),
  "secure renegotiation is signaled (RFC 5746)": (findings) => good(findings, "secure_renego"),
  "the server's order of ciphers": (findings, target) => {
    const result = good(findings, "cipher_order");
    return target.ciphers ? result : { found: "the client's, fixed by rustls", isGood: true };
  },
  "sessions last at most a day": (findings) => {
    const found = findings.find(({ id }) => id === "TLS_session_ticket")?.finding ?? "no finding";
    const seconds = /valid for (\d+) seconds/.exec(found)?.[1];
    return seconds === undefined
      ? { found, isGood: found.startsWith("no --") }
      : { found: `${seconds} s`, isGood: Number(seconds) <= 86_400 };
  },
};

const VULNERABILITIES = [
  ...["heartbleed", "CCS", "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS"],
  ...["POODLE_SSL", "fallback_SCSV", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13"],
  "RC4",
];

function all(ciphers: readonly string[], wanted: RegExp): PointResult {
  const others = ciphers.filter((cipher) => !wanted.test(cipher));
  const found = others.length > 0 ? others.join(", ") : `${ciphers.length} ciphers`;
  return { found, isGood: ciphers.length > 0 && others.length === 0 };
}

function good(findings: readonly Finding[], id: string): PointResult {
  const found = findings.find((finding) => finding.id === id);
  return { found: found?.finding ?? "no finding", isGood: found?.severity === "OK" };
}

function severityOf(findings: readonly Finding[], id: string): string | undefined {
  return findings.find((finding) => finding.id === id)?.severity;
}

function isWeakness({ severity }: Finding): boolean {
  return !["OK", "INFO", "DEBUG"].includes(severity);
}

/** Whether a finding is due to the tests' certificates, or is a documented limit of rustls. */
function isExpected({ id }: Finding, { ciphers }: Target): boolean {
  if (/^cert_(expirationStatus|notAfter|revocation)\b/.test(id)) return true;
  // rustls resumes TLS 1.2 by session ids, and testssl looks for a ticket.
  return !ciphers && ["cipher_order", "sessionresumption_ticket"].includes(id);
}
