import type { ServedTls } from "./served_tls.ts";
import type { PemFile } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import { type Able, CertificateCollection, type CertificateSettings } from "./collect.ts";
import { CertificateLoader } from "./loader.ts";
import { DecryptedKeys } from "./decrypted_keys.ts";
import type { Passphrases } from "./passphrases.ts";
import { CertificateStore, readChain } from "./store.ts";

/** What a configuration's certificates have become. */
export interface LoadedTls {
  /** Incomplete when there are problems. */
  readonly tls: ServedTls;
  /**
   * The store for the workers that get `tls`. If it is another one than before, running workers
   * cannot take over `tls`: they have to be replaced.
   */
  readonly storeFd: number;
  /** `sources[i]` belongs to `tls.certificates[i]`. */
  readonly sources: readonly CertificateSource[];
  /** What the TLS library has accepted with this store; {@link tryTls} adds to it. */
  readonly tried: Set<string>;
  /** Single lines: what must not be. */
  readonly problems: readonly string[];
  /** Single lines: what may surprise. */
  readonly warnings: readonly string[];
}

/** Where a certificate comes from. */
export interface CertificateSource {
  readonly file: PemFile;
  /** PEM, the leaf first; read from the store anew for each call. */
  readonly chain: () => string;
}

/** So much of the store may be out of use before there is a new one, in bytes. */
const MAX_WASTE = 64 * 1024 * 1024;

/** The certificates of the running configuration and, on reload, of the next. */
export class Certificates {
  private readonly libc: Libc;
  private readonly passphrases: Passphrases;
  private readonly keys: DecryptedKeys;
  private readonly maxWaste: number;
  private loader: CertificateLoader;
  /** Has the running configuration's certificates until the next one is in use. */
  private retired: CertificateStore | undefined;

  /** Throws an Error when the system gives no memory. */
  constructor(libc: Libc, passphrases: Passphrases, maxWaste: number = MAX_WASTE) {
    this.libc = libc;
    this.passphrases = passphrases;
    this.maxWaste = maxWaste;
    this.keys = new DecryptedKeys(libc, passphrases);
    this.loader = new CertificateLoader(new CertificateStore(libc), this.keys);
  }

  /**
   * Reads all certificates, keys, CAs and CRLs of a configuration; files that were not changed
   * since the last call are not read again. Changes nothing for certificates loaded before. At
   * the first call the terminal may be used for passphrases.
   */
  load(config: CertificateSettings, able: Able, now: number = Date.now()): LoadedTls {
    if (this.loader.store.size - this.loader.usedBytes() > this.maxWaste) this.renewStore();
    this.loader.forgetUnused();
    const { store, tried } = this.loader;
    const collection = new CertificateCollection(config, this.loader, able, now);
    const tls = this.collect(collection, config);
    const { problems, warnings, files } = collection;
    const sources = tls.certificates.map((certificate, place) => ({
      file: files[place]!,
      chain: () => readChain(this.libc, store.readFd, certificate),
    }));
    return { tls, storeFd: store.readFd, sources, tried, problems, warnings };
  }

  private collect(
    collection: CertificateCollection,
    { passphraseFile }: CertificateSettings,
  ): ServedTls {
    try {
      collection.attempt(() => this.passphrases.useFile(passphraseFile));
      return collection.collect();
    } finally {
      this.passphrases.forget();
    }
  }

  /** The store before the present one is out of use: it takes long until this is called again. */
  private renewStore(): void {
    const next = new CertificateStore(this.libc);
    if (this.retired) {
      this.keys.move(this.retired, next);
      this.retired.close();
    }
    this.retired = this.loader.store;
    this.loader = new CertificateLoader(next, this.keys);
  }
}
