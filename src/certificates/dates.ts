/** What an operator has to know about the ends of certificates: at start, and while they serve. */
import { countText } from "../base/count_text.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import type { Problem } from "../status/status.ts";

/** A certificate with its validity period, in milliseconds since 1970. */
export interface Dated {
  /** The file. */
  readonly place: string;
  readonly names: readonly string[];
  readonly validFrom: number;
  readonly validTo: number;
  /** Set for an intermediate certificate, which has no `names`. */
  readonly issuer?: IssuerOf;
}

/** An intermediate certificate in the chains of some files. */
export interface IssuerOf {
  readonly name: string;
  /** The number of files that have it. */
  readonly files: number;
}

/** What is wrong with the dates of one certificate, or of several that are not named. */
export interface DateProblem extends Problem {
  readonly code: "certificate-expired" | "certificate-ends-soon" | "certificate-not-yet-valid";
  /** The certificate's; absent in the line about those that are not listed. */
  readonly place?: string;
  /** The name of an intermediate certificate. */
  readonly issuer?: string;
}

/** Certificates that are named at once; the others are counted. */
const MAX_NAMED = 20;
/** Names of a certificate in one line. */
const MAX_NAMES = 3;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Whole days until a time; negative once it has passed. */
export function daysUntil(time: number, now: number): number {
  return Math.floor((time - now) / DAY_MS);
}

/**
 * Returns what is wrong at `now`, the certificate that ends first coming first. `days` is the number
 * before the end from which a certificate ends soon; 0: none does.
 */
export function dateProblems(
  certificates: readonly Dated[],
  days: number,
  now: number,
): DateProblem[] {
  const limit = now + days * DAY_MS;
  const found = certificates.filter((each) => codeOf(each, limit, now) !== undefined)
    .sort((a, b) => a.validTo - b.validTo);
  const named = found.slice(0, MAX_NAMED).map((each) => dateProblem(each, now));
  return [...named, ...summaries(found.slice(MAX_NAMED), limit, now)];
}

/** Undefined if nothing is wrong. `limit` is the time before which a certificate ends soon. */
function codeOf(
  { validFrom, validTo }: Dated,
  limit: number,
  now: number,
): DateProblem["code"] | undefined {
  if (validTo < now) return "certificate-expired";
  if (now < validFrom) return "certificate-not-yet-valid";
  return validTo < limit ? "certificate-ends-soon" : undefined;
}

/** Logs the ends of the certificates in use: a warning once a day, an error at the end. */
export class CertificateDates {
  private readonly log: Log;
  private certificates: readonly Dated[] = [];
  private days = 0;
  /** In milliseconds since 1970. */
  private warnedAt = 0;
  /** The number of certificates, in the order of their ends, that have expired. */
  private expired = 0;

  constructor(log: Log) {
    this.log = log;
  }

  /**
   * Uses other certificates from `now` on. What is wrong with them already is for the caller to log
   * ({@link logDates}). `days` as for {@link dateProblems}.
   */
  use(certificates: readonly Dated[], days: number, now: number): void {
    this.certificates = [...certificates].sort((a, b) => a.validTo - b.validTo);
    this.days = days;
    this.warnedAt = now;
    const next = this.certificates.findIndex(({ validTo }) => validTo >= now);
    this.expired = next < 0 ? certificates.length : next;
  }

  /** Returns what is wrong. */
  problems(now: number): DateProblem[] {
    return dateProblems(this.certificates, this.days, now);
  }

  /** Called about once a second. */
  check(now: number): void {
    const begin = this.expired;
    while (this.expired < this.certificates.length && this.ended(this.expired, now)) this.expired++;
    const ended = this.certificates.slice(begin, this.expired);
    for (const problem of dateProblems(ended, 0, now)) this.log(entry(problem, "error"));
    // After the clock was set back, a day begins anew.
    if (now < this.warnedAt) this.warnedAt = now;
    if (now - this.warnedAt < DAY_MS) return;
    this.warnedAt = now;
    // An end that was just logged as an error would be repeated.
    if (ended.length === 0) logDates(this.log, this.problems(now));
    else logDates(this.log, this.problems(now).filter((each) => !isOneOf(each, ended)));
  }

  private ended(place: number, now: number): boolean {
    return this.certificates[place]!.validTo < now;
  }
}

/** Logs each problem as a warning. */
export function logDates(log: Log, problems: readonly DateProblem[]): void {
  for (const problem of problems) log(entry(problem, "warn"));
}

function entry({ code, text, place, issuer }: DateProblem, level: "error" | "warn"): LogEntry {
  const facts = { ...(place ? { file: place } : {}), ...(issuer ? { issuer } : {}) };
  return { level, event: code, message: text, facts };
}

function isOneOf({ place, issuer }: DateProblem, certificates: readonly Dated[]): boolean {
  return certificates.some((each) => each.place === place && each.issuer?.name === issuer);
}

/** `certificate` has a problem. */
function dateProblem(certificate: Dated, now: number): DateProblem {
  const { place, validFrom, validTo, issuer } = certificate;
  const subject = subjectOf(certificate);
  const remedy = issuer
    ? "get the chain of the server's certificate from its CA again, then reload"
    : "renew it, then reload";
  const found = { place, ...(issuer ? { issuer: issuer.name } : {}) };
  if (validTo < now) {
    return {
      severity: "error",
      code: "certificate-expired",
      text: `${subject} expired ${agoText(now - validTo)}, on ${timeText(validTo)}; ${remedy}`,
      ...found,
    };
  }
  if (now < validFrom) {
    return {
      severity: "error",
      code: "certificate-not-yet-valid",
      text: `${subject} is valid only from ${timeText(validFrom)}; check this machine's clock, ` +
        "or use another certificate until then, and reload",
      ...found,
    };
  }
  return {
    severity: "warning",
    code: "certificate-ends-soon",
    text: `${subject} ends in ${durationText(validTo - now)}, on ${timeText(validTo)}; ${remedy}`,
    ...found,
  };
}

function subjectOf({ place, names, issuer }: Dated): string {
  if (!issuer) return `${place}: the certificate${namesText(names)}`;
  const others = issuer.files - 1;
  const also = others === 0
    ? ""
    : ` and in ${others === 1 ? "1 other file" : `${countText(others)} other files`}`;
  return `${place}: the intermediate certificate ${JSON.stringify(issuer.name)} here${also}`;
}

/** One line for each kind. */
function summaries(others: readonly Dated[], limit: number, now: number): DateProblem[] {
  const codes = others.map((each) => codeOf(each, limit, now));
  return KINDS.flatMap(([code, severity, state]): DateProblem[] => {
    const count = codes.filter((each) => each === code).length;
    if (count === 0) return [];
    if (count === 1) return [dateProblem(others[codes.indexOf(code)]!, now)];
    const text = `${countText(count)} more certificates ${state}; renew them, then reload`;
    return [{ severity, code, text }];
  });
}

const KINDS: readonly [DateProblem["code"], DateProblem["severity"], string][] = [
  ["certificate-expired", "error", "have expired"],
  ["certificate-not-yet-valid", "error", "are not valid yet"],
  ["certificate-ends-soon", "warning", "end soon"],
];

function namesText(names: readonly string[]): string {
  if (names.length === 0) return "";
  const more = names.length - MAX_NAMES;
  const shown = names.slice(0, MAX_NAMES).join(", ");
  return ` for ${shown}${more > 0 ? ` and ${countText(more)} more` : ""}`;
}

function timeText(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

function agoText(milliseconds: number): string {
  return milliseconds < HOUR_MS ? "just now" : `${durationText(milliseconds)} ago`;
}

/** `3 days`, or below two days `40 hours`. */
function durationText(milliseconds: number): string {
  if (milliseconds >= 2 * DAY_MS) return `${countText(Math.floor(milliseconds / DAY_MS))} days`;
  const hours = Math.floor(milliseconds / HOUR_MS);
  if (hours === 0) return "less than an hour";
  return hours === 1 ? "1 hour" : `${hours} hours`;
}
