import type { ServedTls } from "./served_tls.ts";
import type { PemFile } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import {
  type CertificateCapabilities,
  CertificateCollection,
  type CertificateSettings,
} from "./collect.ts";
import { CertificateLoader, type LoadedCertificate } from "./loader.ts";
import type { Dated, IssuerOf } from "./dates.ts";
import { DecryptedKeys } from "./decrypted_keys.ts";
import type { Passphrases } from "./passphrases.ts";
import { CertificateStore, readChain } from "./store.ts";

/** The certificates of a configuration, loaded. */
export interface LoadedTls {
  /** Incomplete if there are problems. */
  readonly tls: ServedTls;
  /**
   * The store's descriptor, for workers that get `tls` to inherit. If it differs from that of
   * running workers, they cannot use `tls` and must be replaced.
   */
  readonly storeFd: number;
  /** The sources of `tls.certificates`, in the same order. */
  readonly sources: readonly CertificateSource[];
  /** What the TLS library has accepted with this store; {@link tryTls} adds to it. */
  readonly tried: Set<string>;
  /** Errors, one line each. */
  readonly problems: readonly string[];
  /** Warnings, one line each. */
  readonly warnings: readonly string[];
}

/** The origin of a certificate. */
export interface CertificateSource {
  readonly file: PemFile;
  readonly facts: CertificateFacts;
  /** Reads the chain from the store: PEM, the leaf first. */
  readonly chain: () => string;
}

/** What is shown of a certificate. */
export type CertificateFacts = Pick<
  LoadedCertificate,
  "issuer" | "key" | "mustStaple" | "names" | "shortIssuers" | "validFrom" | "validTo"
>;

/** Returns the certificates with their dates, and those of their issuers that matter, each once. */
export function datesOf(sources: readonly CertificateSource[]): Dated[] {
  const issuers = new Map<string, Dated & { readonly issuer: IssuerOf }>();
  for (const { file, facts } of sources) {
    for (const { name, fingerprint, validFrom, validTo } of facts.shortIssuers) {
      const files = (issuers.get(fingerprint)?.issuer.files ?? 0) + 1;
      const place = issuers.get(fingerprint)?.place ?? file.cert;
      issuers.set(fingerprint, { place, names: [], validFrom, validTo, issuer: { name, files } });
    }
  }
  const own = sources.map(({ file, facts: { names, validFrom, validTo } }) => ({
    ...{ place: file.cert, names, validFrom, validTo },
  }));
  return [...own, ...issuers.values()];
}

/** Maximum number of unused bytes in the store; beyond that a new store is created. */
const MAX_WASTE = 64 * 1024 * 1024;

/** Loads the certificates of the running configuration and, on a reload, of the next one. */
export class Certificates {
  private readonly libc: Libc;
  private readonly passphrases: Passphrases;
  private readonly keys: DecryptedKeys;
  private readonly maxWaste: number;
  private loader: CertificateLoader;
  /** The store of the running configuration; the loader's belongs to the next one if they differ. */
  private used: CertificateStore;

  /** Throws an Error if the system provides no memory. */
  constructor(libc: Libc, passphrases: Passphrases, maxWaste: number = MAX_WASTE) {
    this.libc = libc;
    this.passphrases = passphrases;
    this.maxWaste = maxWaste;
    this.keys = new DecryptedKeys(libc, passphrases);
    this.used = new CertificateStore(libc);
    this.loader = new CertificateLoader(this.used, this.keys);
  }

  /**
   * Loads all certificates, keys, CAs and CRLs of a configuration; certificate files that have not
   * changed since the last call are not read again. Those of the running configuration stay valid;
   * call {@link use} when the loaded ones replace them. Only the first call may ask for passphrases
   * on the terminal.
   */
  load(
    config: CertificateSettings,
    capabilities: CertificateCapabilities,
    now: number = Date.now(),
  ): LoadedTls {
    if (this.loader.store.size - this.loader.usedBytes() > this.maxWaste) this.renewStore();
    this.loader.forgetUnused();
    const { store, tried } = this.loader;
    const collection = new CertificateCollection(config, this.loader, capabilities, now);
    const tls = this.collect(collection, config);
    const { problems, warnings, files, loaded } = collection;
    const sources = tls.certificates.map((certificate, place) => ({
      file: files[place]!,
      facts: loaded[place]!,
      chain: () => readChain(this.libc, store.readFd, certificate),
    }));
    return { tls, storeFd: store.readFd, sources, tried, problems, warnings };
  }

  /** The configuration of the last {@link load} is the running one from now on. */
  use(): void {
    const { store } = this.loader;
    if (store === this.used) return;
    this.close(this.used, store);
    this.used = store;
  }

  private collect(
    collection: CertificateCollection,
    { passphraseFile }: CertificateSettings,
  ): ServedTls {
    try {
      const warning = collection.attempt(() => this.passphrases.useFile(passphraseFile));
      if (warning !== undefined) collection.warnings.push(warning);
      return collection.collect();
    } finally {
      this.passphrases.forget();
    }
  }

  /** The present store stays open if it is that of the running configuration. */
  private renewStore(): void {
    const next = new CertificateStore(this.libc);
    const { store } = this.loader;
    if (store !== this.used) this.close(store, next);
    this.loader = new CertificateLoader(next, this.keys);
  }

  /** Closes a store, whose decrypted keys move to another one. */
  private close(store: CertificateStore, next: CertificateStore): void {
    this.keys.move(store, next);
    store.close();
  }
}
