/** The chain as the server sent it, and whether it leads to a trusted CA. */
import { type Certificate, isIssuedBy } from "./certificate.ts";

/** The part that a certificate has in the chain as sent. */
export type Role =
  | "leaf"
  | "intermediate"
  /** A self-signed CA's own certificate, which clients have. */
  | "root"
  | "duplicate"
  /** Not needed to verify the leaf. */
  | "foreign";

export interface ChainFacts {
  /** For each certificate as sent. */
  readonly roles: readonly Role[];
  /** The needed ones are in the order leaf to root. */
  readonly isOrdered: boolean;
  /** The first certificate is a CA's, and the server's own comes later: its place, from 0. */
  readonly misplacedLeaf?: number;
  /** The last certificate of the path from the leaf that was sent; absent without a leaf. */
  readonly last?: Certificate;
}

/** Examines the certificates in the order in which they were sent. */
export function examineChain(sent: readonly Certificate[]): ChainFacts {
  const first = sent.map((each) =>
    sent.findIndex((other) => Buffer.compare(each.der, other.der) === 0)
  );
  const isDuplicate = (at: number) => first[at] !== at;
  const ownPlace = sent.findIndex((each) => !each.isCa);
  const misplacedLeaf = sent[0]?.isCa && ownPlace > 0 ? ownPlace : undefined;
  const start = misplacedLeaf ?? 0;
  const path = sent.length === 0 ? [] : [start];
  for (;;) {
    const own = sent[path.at(-1) ?? -1];
    if (!own || own.isSelfIssued) break;
    const next = sent.findIndex((other, at) =>
      !isDuplicate(at) && !path.includes(at) && isIssuedBy(own, other)
    );
    if (next < 0) break;
    path.push(next);
  }
  const roles = sent.map((each, at): Role => {
    if (isDuplicate(at)) return "duplicate";
    if (!path.includes(at)) return "foreign";
    if (at === start) return "leaf";
    return each.isSelfIssued ? "root" : "intermediate";
  });
  const last = sent[path.at(-1) ?? -1];
  return {
    roles,
    isOrdered: path.every((at, i) => i === 0 || at > path[i - 1]!) && start === 0,
    ...(misplacedLeaf === undefined ? {} : { misplacedLeaf }),
    ...(last ? { last } : {}),
  };
}

/** Whether clients that know the CAs trust a certificate. */
export type TrustResult =
  | { readonly trusted: true; readonly path: readonly Certificate[] }
  | {
    readonly trusted: false;
    readonly reason: string;
    /** No path leads to a CA that is known: one is missing in the chain, or is not a public one. */
    readonly isIncomplete: boolean;
  };

/** Longer paths do not occur. */
const MAX_DEPTH = 8;
/** Verified signatures, so that a hostile chain costs little. */
const MAX_SIGNATURES = 200;

/**
 * Looks for a path from the first certificate to one of the CAs over the others (RFC 5280 section 6:
 * signatures, dates, basic constraints, key usage and extended key usage; not name constraints and
 * policies). `now` is in milliseconds since 1970.
 */
export function verifyChain(
  sent: readonly Certificate[],
  authorities: Authorities,
  now: number,
): TrustResult {
  const [leaf] = sent;
  if (!leaf) return untrusted("the server sent no certificate", false);
  let budget = MAX_SIGNATURES;
  let failure: TrustResult | undefined;
  const issued = (own: Certificate, issuer: Certificate) => budget-- > 0 && isIssuedBy(own, issuer);
  const found = extend([leaf]);
  return found ?? failure ?? untrusted("its CA is unknown", true);

  function extend(path: readonly Certificate[]): TrustResult | undefined {
    const own = path.at(-1)!;
    if (authorities.has(own)) return accepted(path);
    for (const root of authorities.issuersOf(own)) {
      if (!issued(own, root)) continue;
      const result = accepted([...path, root]);
      if (result) return result;
    }
    if (path.length >= MAX_DEPTH || own.isSelfIssued) return undefined;
    for (const next of sent) {
      if (path.includes(next) || !issued(own, next)) continue;
      const result = extend([...path, next]);
      if (result) return result;
    }
    return undefined;
  }

  function accepted(path: readonly Certificate[]): TrustResult | undefined {
    const reason = faultOf(path, now);
    if (reason === undefined) return { trusted: true, path };
    failure ??= untrusted(reason, false);
    return undefined;
  }
}

function untrusted(reason: string, isIncomplete: boolean): TrustResult {
  return { trusted: false, reason, isIncomplete };
}

function faultOf(path: readonly Certificate[], now: number): string | undefined {
  for (const [at, each] of path.entries()) {
    const name = at === 0 ? "the certificate" : `the CA's certificate ${each.subject}`;
    if (now > each.notAfter) return `${name} has expired`;
    if (now < each.notBefore) return `${name} is not valid yet`;
    if (each.weakness) return `${name} ${each.weakness}`;
    if (at === 0 && !each.isForServers) return `${name} is not for servers (extended key usage)`;
    if (at === 0) continue;
    if (!each.isCa || !each.maySign) return `${name} may not sign certificates`;
    if (!each.isForServers) return `${name} is not for servers (extended key usage)`;
    // Self-issued ones do not count (RFC 5280 section 4.2.1.9).
    const below = path.slice(1, at).filter(({ isSelfIssued }) => !isSelfIssued).length;
    if (each.pathLength !== undefined && below > each.pathLength) {
      return `${name} permits fewer CAs below it`;
    }
  }
  return undefined;
}

/** Trusted CAs. */
export class Authorities {
  private readonly bySubject = new Map<string, Certificate[]>();

  constructor(certificates: readonly Certificate[]) {
    for (const each of certificates) {
      const key = keyOf(each.subjectName);
      this.bySubject.set(key, [...this.bySubject.get(key) ?? [], each]);
    }
  }

  has({ der, subjectName }: Certificate): boolean {
    const same = this.bySubject.get(keyOf(subjectName)) ?? [];
    return same.some((each) => Buffer.compare(each.der, der) === 0);
  }

  /** Those with the name of a certificate's issuer. */
  issuersOf({ issuerName }: Certificate): readonly Certificate[] {
    return this.bySubject.get(keyOf(issuerName)) ?? [];
  }
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name).toString("base64");
}
