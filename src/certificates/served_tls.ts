import type { TlsParameters } from "../runtime/tls.ts";

/** All certificates of a configuration and the frontends that serve them. */
export interface ServedTls {
  readonly certificates: readonly StoredCertificate[];
  /** Ways to verify clients; certificates and frontends refer to them by index. */
  readonly trusts: readonly Trust[];
  /** In the order of the frontends in the configuration. */
  readonly frontends: readonly FrontendTls[];
  /** Protocol names, the server's preferred one first. */
  readonly alpn: readonly string[];
}

/** A certificate in the store that master and workers share (`certificates/store.ts`). */
export interface StoredCertificate {
  /** Names that SNI selects it by: lower case, `*.` before a wildcard's parent. */
  readonly names: readonly string[];
  /** Certificates of different key types can serve one name. */
  readonly keyType: "rsa" | "ec" | "ed25519";
  /** Where its {@link Material} is in the store, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** An index in `ServedTls.trusts` that overrides the frontend's. */
  readonly trust?: number;
}

/** A certificate with its key, as the store holds it. */
export interface Material {
  /** PEM, the leaf first. */
  readonly chain: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
  /** PEM. */
  readonly dhParameters?: string;
}

/** How clients are verified. */
export interface Trust {
  readonly mode: "none" | "optional" | "required";
  /** PEM; "" if the mode is none. */
  readonly ca: string;
  /** PEM, or "". */
  readonly crl: string;
}

/** The TLS settings and certificates of one frontend. */
export interface FrontendTls extends TlsParameters {
  /** Indexes in `ServedTls.certificates`; the last one is the default. */
  readonly own: readonly number[];
  /**
   * Indexes of certificates for names that `own` lacks; the last one is the default if `own` is
   * empty.
   */
  readonly global: readonly number[];
  readonly sniNomatchAbort: boolean;
  /** An index in `ServedTls.trusts`. */
  readonly trust: number;
}
