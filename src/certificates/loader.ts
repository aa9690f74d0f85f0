import type { StoredCertificate } from "./served_tls.ts";
import type { PemFile } from "../options/config.ts";
import { readText, stampOf } from "./files.ts";
import type { Passphrases } from "./passphrases.ts";
import { type Bundle, parseBundle } from "./pem.ts";
import type { CertificateStore, Location } from "./store.ts";

/** A certificate that is in the store, with what the master needs to know of it. */
export interface LoadedCertificate
  extends
    Pick<Bundle, "names" | "isNameless" | "validFrom" | "validTo" | "hasBadDh">,
    Omit<StoredCertificate, "trust"> {
  readonly hasDh: boolean;
}

/** Loads certificates into a store, and those that were not changed only once. */
export class CertificateLoader {
  readonly store: CertificateStore;
  /** For those who try certificates once: offsets, under which the store keeps each for ever. */
  readonly tried = new Set<number>();
  private readonly passphrases: Passphrases;
  private cache = new Map<string, LoadedCertificate>();
  private used = new Map<string, LoadedCertificate>();

  constructor(store: CertificateStore, passphrases: Passphrases) {
    this.store = store;
    this.passphrases = passphrases;
  }

  /** Throws a UsageError when the files are not what they should be. */
  load({ cert, key }: Pick<PemFile, "cert" | "key">): LoadedCertificate {
    const stamps = [cert, key].map((file) => file === "" ? "" : `${stampOf(file)} ${file}`);
    const place = stamps.join("\0");
    const loaded = this.used.get(place) ?? this.cache.get(place) ?? this.read(cert, key);
    this.used.set(place, loaded);
    return loaded;
  }

  /** Forgets what was not asked for since the last call. */
  forgetUnused(): void {
    this.cache = this.used;
    this.used = new Map();
  }

  /** Bytes of the store which those need that were asked for since {@link forgetUnused}. */
  usedBytes(): number {
    const lengths = new Map([...this.used.values()].map(({ offset, length }) => [offset, length]));
    return [...lengths.values()].reduce((sum, length) => sum + length, 0);
  }

  private read(cert: string, key: string): LoadedCertificate {
    const { material, names, isNameless, keyType, validFrom, validTo, hasBadDh } = parseBundle(
      { text: readText(cert, "latin1"), file: cert },
      (pem, file) => this.passphrases.open(pem, file),
      key === "" ? undefined : { text: readText(key, "latin1"), file: key },
    );
    const location: Location = this.store.add(material);
    const hasDh = material.dhParameters !== undefined;
    return { names, isNameless, keyType, validFrom, validTo, hasBadDh, hasDh, ...location };
  }
}
