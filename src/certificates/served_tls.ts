import type { TlsParameters } from "../runtime/tls.ts";

/** All certificates of a configuration, and which frontend has which. */
export interface ServedTls {
  readonly certificates: readonly StoredCertificate[];
  /** Who verifies clients how; certificates and frontends point here. */
  readonly trusts: readonly Trust[];
  /** In the order of the configuration's frontends. */
  readonly frontends: readonly FrontendTls[];
  /** Protocol names, the server's favourite first. */
  readonly alpn: readonly string[];
}

/** A certificate in the store that master and workers share (`certificates/store.ts`). */
export interface StoredCertificate {
  /** For which it is chosen by SNI: lower case, `*.` before a wildcard's parent. */
  readonly names: readonly string[];
  /** Certificates of different types serve one name side by side. */
  readonly keyType: "rsa" | "ec" | "ed25519";
  /** Where its {@link Material} is, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** A place in `ServedTls.trusts` that counts instead of the frontend's. */
  readonly trust?: number;
}

/** What the store holds of a certificate. */
export interface Material {
  /** PEM, the leaf first. */
  readonly chain: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
  /** PEM. */
  readonly dhParameters?: string;
}

export interface Trust {
  readonly mode: "none" | "optional" | "required";
  /** PEM; "" where the mode is none. */
  readonly ca: string;
  /** PEM, or "". */
  readonly crl: string;
}

export interface FrontendTls extends TlsParameters {
  /** Places in `ServedTls.certificates`; the last one is its default. */
  readonly own: readonly number[];
  /** Where a name is looked up that `own` lacks; its last one is the default if `own` is empty. */
  readonly global: readonly number[];
  readonly sniNomatchAbort: boolean;
  /** A place in `ServedTls.trusts`. */
  readonly trust: number;
}
