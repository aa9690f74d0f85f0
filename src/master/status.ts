/** The master's parts of the status document, from what it knows anyway. */
import {
  type CertificatesStatus,
  type CertificateStatus,
  type FrontendStatus,
  type GenerationStatus,
  MAX_LISTED_CERTIFICATES,
  MAX_LISTED_NAMES,
  type Problem,
  type Status,
  type WorkerStatus,
} from "../status/status.ts";
import type { CertificateSource } from "../certificates/certificates.ts";
import type { StapleCommand } from "../ocsp/staples.ts";
import { daysUntil } from "../certificates/dates.ts";
import { displayAddress, formatEndpoint } from "../options/address.ts";
import type { Counted } from "./metrics.ts";
import type { Prepared } from "./prepare.ts";
import type { Generation } from "./workers/generation.ts";
import type { Generations } from "./workers/generations.ts";

/** The parts of the document that the master fills in. */
export type MasterFacts = Pick<
  Status,
  "backends" | "certificates" | "failures" | "frontends" | "generations" | "tickets" | "workers"
>;

/** The generations, the current one first. */
export function generationsStatus({ current, living }: Generations): GenerationStatus[] {
  return living.map((generation) => ({
    number: generation.number,
    isCurrent: generation === current,
    workers: generation.slots.filter(({ isEmpty }) => !isEmpty).length,
    connections: generation.open,
  })).sort((a, b) => Number(b.isCurrent) - Number(a.isCurrent) || b.number - a.number);
}

/** The workers of all generations, by slot; those of the current generation first. */
export function workersStatus({ current, living }: Generations): WorkerStatus[] {
  const rank = (generation: Generation) => generation === current ? 0 : 1;
  return [...living].sort((a, b) => rank(a) - rank(b) || b.number - a.number)
    .flatMap(({ number, slots }) =>
      slots.flatMap((slot) =>
        slot.workers().map((worker) => ({
          ...{ slot: slot.number, generation: number },
          ...worker,
        }))
      )
    ).sort((a, b) => a.slot - b.slot);
}

/** The frontends in the order of the configuration. */
export function frontendsStatus(
  { config, listeners }: Prepared,
  { totals, names }: Pick<Counted, "totals" | "names">,
): FrontendStatus[] {
  return config.frontends.map(({ listen }, index) => {
    const labels = { frontend: names.frontends[index]! };
    const accepted = totals.total("connections_accepted_total", labels);
    return {
      name: displayAddress(listen),
      addresses: listeners.filter(({ frontend }) => frontend === index)
        .map(({ endpoint }) => formatEndpoint(endpoint)),
      accepted,
      open: Math.max(0, accepted - totals.total("connections_closed_total", labels)),
    };
  });
}

/** The certificates of one configuration, sorted and described once. */
export class ServedCertificates {
  private readonly total: number;
  private readonly warningDays: number;
  private readonly listed: readonly (Described & { readonly index: number })[];

  constructor({ sources, tls, config }: Pick<Prepared, "sources" | "tls" | "config">) {
    const names = config.frontends.map(({ listen }) => displayAddress(listen));
    const global = new Set(tls.frontends.flatMap(({ global }) => global));
    const owners = sources.map((): string[] => []);
    for (const [frontend, { own }] of tls.frontends.entries()) {
      for (const place of new Set(own)) owners[place]!.push(names[frontend]!);
    }
    this.total = sources.length;
    this.warningDays = config.certificateWarningDays;
    this.listed = sources
      .map(({ file, facts }, place) => ({ file, facts, place }))
      .sort((a, b) => a.facts.validTo - b.facts.validTo)
      .slice(0, MAX_LISTED_CERTIFICATES)
      .map(({ file, facts, place }) => ({
        index: place,
        names: facts.names.slice(0, MAX_LISTED_NAMES),
        place: file.cert,
        ...(global.has(place) ? {} : { frontend: owners[place]!.join(", ") }),
        notBefore: new Date(facts.validFrom).toISOString(),
        notAfter: new Date(facts.validTo).toISOString(),
        key: facts.key,
        issuer: facts.issuer,
      }));
  }

  /** `staples` are those in use, `now` is in milliseconds since 1970. */
  status(staples: readonly Staple[], now: number): CertificatesStatus {
    const made = new Map(staples.map(({ certificate, from }) => [certificate, from]));
    return {
      total: this.total,
      warningDays: this.warningDays,
      listed: this.listed.map(({ index, ...certificate }) => {
        const from = made.get(index);
        return {
          ...certificate,
          daysLeft: daysUntil(Date.parse(certificate.notAfter), now),
          ...(from === undefined ? {} : { stapleAgeSeconds: Math.max(0, (now - from) / 1000) }),
        };
      }),
    };
  }
}

type Described = Omit<CertificateStatus, "daysLeft" | "stapleAgeSeconds">;
type Staple = Pick<StapleCommand, "certificate" | "from">;

/**
 * Returns the certificates that clients refuse without a stapled OCSP response and that have none at
 * `now`, in milliseconds since 1970.
 */
export function stapleProblems(
  sources: readonly CertificateSource[],
  staples: readonly Pick<StapleCommand, "certificate" | "until">[],
  now: number,
): Problem[] {
  if (!sources.some(({ facts }) => facts.mustStaple)) return [];
  const valid = new Set(
    staples.filter(({ until = Infinity }) => now < until).map(({ certificate }) => certificate),
  );
  return sources.flatMap(({ file, facts }, place): Problem[] =>
    !facts.mustStaple || valid.has(place) ? [] : [{
      severity: "error",
      code: "staple-missing",
      text: `${file.cert}: clients refuse this certificate without a stapled OCSP response ` +
        "(must-staple), and there is none; the log says why (ocsp-failed)",
    }]
  ).slice(0, MAX_MISSING_STAPLES);
}

const MAX_MISSING_STAPLES = 20;
