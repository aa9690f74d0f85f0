import type { StoredCertificate } from "./served_tls.ts";

/**
 * The certificates that serve a name together, as indexes in `ServedTls.certificates`, preferred
 * first.
 */
export type CertificateGroup = readonly number[];

/** Smaller signatures first; clients that support only RSA use the last one. */
const PREFERENCE: readonly StoredCertificate["keyType"][] = ["ec", "ed25519", "rsa"];

/** Maximum length of a name (RFC 1035 section 2.3.4). */
const MAX_CHARACTERS = 255;

/**
 * Maps names to the certificates of a list. The first certificate with a name serves it; with
 * `dualCertificates`, the first one of each key type does. The last certificate is the default.
 */
export class NameIndex {
  /** All groups that `lookup` can return; never empty. */
  readonly groups: readonly CertificateGroup[];
  /** The default's index in `groups`. */
  readonly fallback: number;
  private readonly byName = new Map<string, number>();

  /** `places` are indexes in `certificates`, at least one. */
  constructor(
    certificates: readonly StoredCertificate[],
    places: readonly number[],
    dualCertificates: boolean,
  ) {
    const typeOf = (place: number) => certificates[place]!.keyType;
    const candidates = new Map<string, number | number[]>();
    for (const place of places) {
      for (const name of certificates[place]!.names) {
        const known = candidates.get(name);
        if (known === undefined) candidates.set(name, place);
        else if (dualCertificates) addPartner(candidates, name, known, place, typeOf);
      }
    }
    const groups: CertificateGroup[] = [];
    const groupPlaces = new Map<string, number>();
    const groupOf = (members: readonly number[]) => {
      const inOrder = members.toSorted((a, b) =>
        PREFERENCE.indexOf(typeOf(a)) - PREFERENCE.indexOf(typeOf(b))
      );
      const key = inOrder.join();
      const known = groupPlaces.get(key) ?? groups.push(inOrder) - 1;
      groupPlaces.set(key, known);
      return known;
    };
    for (const [name, members] of candidates) {
      this.byName.set(name, groupOf(typeof members === "number" ? [members] : members));
    }
    const last = places.at(-1)!;
    const [firstName] = certificates[last]!.names;
    const named = firstName === undefined ? undefined : this.byName.get(firstName);
    const partners = named === undefined || !dualCertificates ? [] : groups[named]!;
    this.fallback = groupOf([last, ...partners.filter((place) => typeOf(place) !== typeOf(last))]);
    this.groups = groups;
  }

  /**
   * Returns the index in `groups` of what serves this name: an exact match, or else a wildcard for
   * its first label. Accepts any text.
   */
  lookup(serverName: string): number | undefined {
    if (serverName.length > MAX_CHARACTERS || !/^[!-~]+$/.test(serverName)) return undefined;
    const name = serverName.toLowerCase();
    const exact = this.byName.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf(".");
    return dot > 0 ? this.byName.get(`*${name.slice(dot)}`) : undefined;
  }
}

/** Adds a certificate for a name unless the name has one with this key type. */
function addPartner(
  candidates: Map<string, number | number[]>,
  name: string,
  known: number | number[],
  place: number,
  typeOf: (place: number) => string,
): void {
  const members = typeof known === "number" ? [known] : known;
  if (members.every((member) => typeOf(member) !== typeOf(place))) {
    candidates.set(name, [...members, place]);
  }
}
