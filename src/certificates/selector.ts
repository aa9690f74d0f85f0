import type { FrontendTls, ServedTls, Trust } from "./served_tls.ts";
import { type CertificateGroup, NameIndex } from "./name_index.ts";

/** What one frontend presents for which server name. */
export class CertificateSelector {
  /** More than one answer of `select` is possible. */
  readonly choice: boolean;
  /** Not all identities trust the same clients. */
  readonly isMixed: boolean;
  private readonly tls: ServedTls;
  private readonly frontend: FrontendTls;
  private readonly own: NameIndex | undefined;
  private readonly global: NameIndex | undefined;

  /**
   * For the frontend at this place of `tls.frontends`. `dualCertificates` is the capability of that
   * name. Throws an Error when the frontend has no certificates.
   */
  constructor(tls: ServedTls, frontend: number, dualCertificates: boolean) {
    this.tls = tls;
    this.frontend = tls.frontends[frontend]!;
    this.own = indexOf(tls, this.frontend.own, dualCertificates);
    this.global = indexOf(tls, this.frontend.global, dualCertificates);
    const groups = [...this.own?.groups ?? [], ...this.global?.groups ?? []];
    if (groups.length === 0) throw new Error(`frontend ${frontend} has no certificates`);
    this.choice = groups.length > 1 || this.frontend.sniNomatchAbort;
    this.isMixed = new Set(groups.map((group) => this.verifyMode(group))).size > 1;
  }

  /**
   * The number of the identity for this name, or undefined when the handshake has to end with the
   * alert `unrecognized_name`. "" stands for a client without SNI. Safe for any text.
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
   * What is behind such a number: places in `tls.certificates`, the favourite first, and who
   * verifies clients how. Throws an Error for any other number.
   */
  material(identity: number): { readonly certificates: CertificateGroup; readonly trust: Trust } {
    const certificates = this.own?.groups[identity] ??
      this.global?.groups[identity - this.ownCount()];
    if (!certificates) throw new Error(`there is no identity ${identity}`);
    return { certificates, trust: this.tls.trusts[this.verifyMode(certificates)]! };
  }

  /** The identities of the global certificates are numbered after those of its own. */
  private ownCount(): number {
    return this.own?.groups.length ?? 0;
  }

  /** The place in `tls.trusts`. */
  private verifyMode(group: CertificateGroup): number {
    const { certificates } = this.tls;
    const particular = group.find((place) => certificates[place]!.trust !== undefined);
    return particular === undefined ? this.frontend.trust : certificates[particular]!.trust!;
  }
}

/** Frontends with the same list of certificates share one index. */
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
