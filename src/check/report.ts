/** The result of a check as text and as JSON. */
import { oneLine } from "../base/one_line.ts";
import type { Certificate } from "./certificate.ts";
import { dateText, daysText } from "./certificate_verdicts.ts";
import type { Facts, Known, NameAnswer, Served } from "./facts.ts";
import { alertName } from "./fault.ts";
import { cipherName, groupName, schemeName, versionName } from "./numbers.ts";
import type { Verdict } from "./verdict.ts";

const LEVELS = ["problem", "warning", "unknown", "ok"] as const;

/** Returns the worst level of the verdicts; what is not known does not count. */
export function worst(verdicts: readonly Verdict[]): "problem" | "warning" | "ok" {
  return (["problem", "warning"] as const).find((level) =>
    verdicts.some((each) => each.level === level)
  ) ?? "ok";
}

/** Returns the text for people: the verdicts, the worst first, then the facts. */
export function reportText(facts: Facts, verdicts: readonly Verdict[]): string {
  const sorted = LEVELS.flatMap((level) => verdicts.filter((each) => each.level === level));
  const count = (level: Verdict["level"]) => verdicts.filter((each) => each.level === level).length;
  const plural = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const lines = [
    `${facts.target} (${facts.address}): ${plural(count("problem"), "problem")}, ` +
    plural(count("warning"), "warning"),
    ...(facts.hasUnusedPath ? ["Of the URL, only the server is used."] : []),
    "",
    ...sorted.flatMap(({ topic, level, text, remedy }) => [
      `  ${level.padEnd(8)} ${topic.padEnd(11)} ${text}`,
      ...(remedy === undefined ? [] : [`${" ".repeat(11)}${"remedy:".padEnd(11)} ${remedy}`]),
    ]),
    "",
    "Connection",
    ...connectionRows(facts).map(([name, value]) => `  ${name.padEnd(20)} ${value}`),
    "",
    "Certificates as sent",
    ...certificateLines(facts.served, facts.now),
    ...(facts.other
      ? [
        "",
        `Certificates for clients that want ${otherKind(facts)}`,
        ...certificateLines(facts.other, facts.now),
      ]
      : []),
  ];
  return `${lines.map(oneLine).join("\n")}\n`;
}

/** Returns the kind of key that clients get who do not get the first certificate. */
export function otherKind({ served }: Facts): "ECDSA" | "RSA" {
  return served.certificates[0]?.key.startsWith("RSA") ? "ECDSA" : "RSA";
}

function connectionRows(facts: Facts): (readonly [string, string])[] {
  const { handshake, times, versions, addresses, address } = facts;
  const offered = versions.filter(({ offered }) => "value" in offered && offered.value);
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const others = addresses.filter((each) => each !== address);
  return [
    ...(others.length > 0 ? [["other addresses", others.join(", ")] as const] : []),
    [
      "time",
      `${times.resolve === undefined ? "" : `name ${ms(times.resolve)}, `}connect ${
        ms(times.connect)
      }, handshake ${ms(times.handshake)}`,
    ],
    ["server name (SNI)", facts.serverName ?? "none"],
    ["version", versionName(handshake.version)],
    ["versions offered", offered.map(({ version }) => versionName(version)).join(", ")],
    ["cipher", cipherName(handshake.cipher)],
    ["group", handshake.group === undefined ? "none" : groupName(handshake.group)],
    ["group, new clients", knownText(facts.modernGroup, groupName)],
    [
      "signature",
      handshake.signature === undefined ? "none" : schemeName(handshake.signature),
    ],
    ["ALPN", handshake.alpn ?? "none"],
    ["client certificate", facts.clientCertificate],
    ...(["tls13", "tls12"] as const).flatMap((key) => {
      const result = facts.resumption[key];
      const text = result && knownText(
        result,
        ({ by, resumed, tries }) => by === "" ? "no" : `${resumed} of ${tries} by ${by}`,
      );
      const name = `resumption, TLS ${key === "tls13" ? "1.3" : "1.2"}`;
      return text === undefined ? [] : [[name, text] as const];
    }),
  ];
}

function knownText<T>(fact: Known<T>, text: (value: T) => string): string {
  return "unknown" in fact ? `not known (${fact.unknown})` : text(fact.value);
}

function certificateLines({ certificates, chain: { roles } }: Served, now: number): string[] {
  return certificates.flatMap((each, at) => {
    const left = each.notAfter - now;
    const rows = [
      `  ${at + 1}  ${roles[at]!.padEnd(12)}  ${each.subject}`,
      `issuer     ${each.issuer}`,
      ...(roles[at] === "leaf"
        ? [`names      ${[...each.names, ...each.addresses].join(", ") || "none"}`]
        : []),
      `valid      ${dateText(each.notBefore)} to ${dateText(each.notAfter)}` +
      (left < 0 ? ", expired" : `, ${daysText(left)} left`),
      `key        ${each.key}, signed with ${each.signature}`,
      `SHA-256    ${each.sha256}`,
    ];
    return rows.map((row, i) => i === 0 ? row : `${" ".repeat(19)}${row}`);
  });
}

/** The version of the JSON document's form. */
export const REPORT_VERSION = 1;

/** Returns what `--json` prints. */
export function reportJson(facts: Facts, verdicts: readonly Verdict[]): object {
  const { handshake, served, versions, resumption, end, withoutName, unknownName, times } = facts;
  return {
    version: REPORT_VERSION,
    target: facts.target,
    address: facts.address,
    addresses: facts.addresses,
    unreachable: facts.unreachable,
    time: date(facts.now),
    result: worst(verdicts),
    verdicts,
    milliseconds: times,
    serverName: facts.serverName ?? null,
    handshake: {
      version: versionName(handshake.version),
      cipher: cipherName(handshake.cipher),
      group: handshake.group === undefined ? null : groupName(handshake.group),
      signature: handshake.signature === undefined ? null : schemeName(handshake.signature),
      alpn: handshake.alpn ?? null,
      clientCertificate: facts.clientCertificate,
    },
    versions: Object.fromEntries(
      versions.map(({ version, offered }) => [versionName(version), known(offered)]),
    ),
    modernGroup: known(facts.modernGroup, groupName),
    obsoleteCipher: known(facts.obsoleteCipher, (each) => each === 0 ? null : cipherName(each)),
    alpnOffered: facts.offeredAlpn,
    ...servedJson(served),
    authorities: facts.authorities,
    ...(facts.other ? { otherKeyKind: servedJson(facts.other) } : {}),
    resumption: Object.fromEntries(
      Object.entries(resumption).map(([key, value]) => [
        key === "tls13" ? "TLS 1.3" : "TLS 1.2",
        known(value),
      ]),
    ),
    end: known(end),
    withoutName: withoutName ? nameJson(withoutName) : null,
    unknownName: unknownName ? nameJson(unknownName) : null,
  };
}

function servedJson({ certificates, chain, trust, staple, unreadable }: Served): object {
  return {
    certificates: certificates.map((each, at) => ({
      role: chain.roles[at],
      ...certificateJson(each),
    })),
    unreadableCertificates: unreadable,
    isOrdered: chain.isOrdered,
    trusted: trust.trusted,
    trustProblem: trust.trusted ? null : trust.reason,
    ocsp: staple
      ? {
        status: staple.status,
        thisUpdate: staple.thisUpdate === undefined ? null : date(staple.thisUpdate),
        nextUpdate: staple.nextUpdate === undefined ? null : date(staple.nextUpdate),
      }
      : null,
  };
}

function certificateJson(certificate: Certificate): object {
  const { subject, issuer, serial, sha256, names, addresses, key, signature, mustStaple } =
    certificate;
  return {
    ...{ subject, issuer, serial, sha256, names, addresses },
    notBefore: date(certificate.notBefore),
    notAfter: date(certificate.notAfter),
    ...{ key, signature, mustStaple },
  };
}

function nameJson(answer: NameAnswer): unknown {
  return known(
    answer,
    (value) =>
      "alert" in value ? { alert: alertName(value.alert) } : { sameCertificate: value.isSame },
  );
}

/** Returns the value, or `{ "unknown": reason }`. */
function known<T>(fact: Known<T>, form: (value: T) => unknown = (value) => value): unknown {
  return "unknown" in fact ? fact : form(fact.value);
}

function date(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
