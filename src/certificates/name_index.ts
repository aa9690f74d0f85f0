import type { StoredCertificate } from "./served_tls.ts";

/** Which certificates serve a name together: places in `ServedTls.certificates`, favourite first. */
export type CertificateGroup = readonly number[];

/** Smaller signatures first; clients that know only RSA take the last one. */
const PREFERENCE: readonly StoredCertificate["keyType"][] = ["ec", "ed25519", "rsa"];

/** RFC 6066 section 3 has names in ASCII; none is longer (RFC 1035 section 2.3.4). */
const MAX_CHARACTERS = 255;

/**
 * The names of a list of certificates. The first one listed has a name; with `dualCertificates`,
 * the first one of each type of key. The last one listed is the default.
 */
export class NameIndex {
  /** All that `lookup` may answer; never empty. */
  readonly groups: readonly CertificateGroup[];
  /** The place of the default's group in `groups`. */
  readonly fallback: number;
  private readonly byName = new Map<string, number>();

  /** `places` is not empty. */
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
   * The place in `groups` of what serves this name: an exact match, or else a wildcard for its
   * first label. Safe for any text.
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

/** Adds a certificate for a name unless there is one with its type of key. */
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
