import type { FrontendTls, ServedTls, Trust } from "./served_tls.ts";
import { type CertificateGroup, NameIndex } from "./name_index.ts";

/** Selects the certificates of one frontend by server name. */
export class CertificateSelector {
  /** `select` has more than one possible result. */
  readonly choice: boolean;
  /** Identities differ in how they verify clients. */
  readonly isMixed: boolean;
  /** An identity requests certificates from clients. */
  readonly verifies: boolean;
  private readonly tls: ServedTls;
  private readonly frontend: FrontendTls;
  private readonly own: NameIndex | undefined;
  private readonly global: NameIndex | undefined;

  /**
   * `frontend` is an index in `tls.frontends`, `dualCertificates` the capability of that name.
   * Throws an Error if the frontend has no certificates.
   */
  constructor(tls: ServedTls, frontend: number, dualCertificates: boolean) {
    this.tls = tls;
    this.frontend = tls.frontends[frontend]!;
    this.own = indexOf(tls, this.frontend.own, dualCertificates);
    this.global = indexOf(tls, this.frontend.global, dualCertificates);
    const groups = [...this.own?.groups ?? [], ...this.global?.groups ?? []];
    if (groups.length === 0) throw new Error(`frontend ${frontend} has no certificates`);
    this.choice = groups.length > 1 || this.frontend.sniNomatchAbort;
    const trusts = [...new Set(groups.map((group) => this.trustIndex(group)))];
    this.isMixed = trusts.length > 1;
    this.verifies = trusts.some((trust) => tls.trusts[trust]!.mode !== "none");
  }

  /**
   * Returns the number of the identity for this name, or undefined if the handshake must fail with
   * the alert `unrecognized_name`. "" stands for a client without SNI. Accepts any text.
   */
  select(serverName: string): number | undefined {
    const fallback = this.own ? this.own.fallback : this.global!.fallback;
    if (serverName === "") return fallback;
    const own = this.own?.lookup(serverName);
    if (own !== undefined) return own;
    const global = this.global?.lookup(serverName);
    if (global !== undefined) return this.ownCount() + global;
    return this.frontend.sniNomatchAbort ? undefined : fallback;
  }

  /**
   * Returns an identity: indexes in `tls.certificates`, the preferred one first, and how it
   * verifies clients. Throws an Error for a number that `select` does not return.
   */
  material(identity: number): { readonly certificates: CertificateGroup; readonly trust: Trust } {
    const certificates = this.own?.groups[identity] ??
      this.global?.groups[identity - this.ownCount()];
    if (!certificates) throw new Error(`there is no identity ${identity}`);
    return { certificates, trust: this.tls.trusts[this.trustIndex(certificates)]! };
  }

  /** The numbers of global identities start after the frontend's own. */
  private ownCount(): number {
    return this.own?.groups.length ?? 0;
  }

  /** Returns an index in `tls.trusts`. */
  private trustIndex(group: CertificateGroup): number {
    const { certificates } = this.tls;
    const particular = group.find((place) => certificates[place]!.trust !== undefined);
    return particular === undefined ? this.frontend.trust : certificates[particular]!.trust!;
  }
}

/** Indexes that frontends with equal lists of certificates share. */
const indexes = new WeakMap<ServedTls, Map<string, NameIndex>>();

function indexOf(
  tls: ServedTls,
  places: readonly number[],
  dualCertificates: boolean,
): NameIndex | undefined {
  if (places.length === 0) return undefined;
  let known = indexes.get(tls);
  if (!known) indexes.set(tls, known = new Map());
  const key = `${dualCertificates} ${places.join()}`;
  const index = known.get(key) ?? new NameIndex(tls.certificates, places, dualCertificates);
  known.set(key, index);
  return index;
}
