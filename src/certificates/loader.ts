import { dirname } from "node:path";
import type { StoredCertificate } from "./served_tls.ts";
import type { PemFile } from "../options/config.ts";
import { UsageError } from "../base/errors.ts";
import { FileError, readFile } from "../base/read_file.ts";
import { type Bundle, parseBundle } from "./bundle.ts";
import type { DecryptedKeys } from "./decrypted_keys.ts";
import { isDirectory, pairIn, pairRemedy, stampOf } from "./files.ts";
import { type NamedText, NotInFile } from "./sections.ts";
import type { CertificateStore } from "./store.ts";

/** A certificate in the store, with the facts that the master needs. */
export interface LoadedCertificate extends
  Pick<
    Bundle,
    | "hasBadDh"
    | "isNameless"
    | "issuer"
    | "key"
    | "mustStaple"
    | "names"
    | "shortIssuers"
    | "validFrom"
    | "validTo"
    | "warnings"
  >,
  Omit<StoredCertificate, "trust"> {
  readonly hasDh: boolean;
  /** The file of the private key if other users can read it, or "". */
  readonly exposedKey: string;
}

/** Loads certificates into a store; unchanged files are loaded only once. */
export class CertificateLoader {
  readonly store: CertificateStore;
  /** What the TLS library has accepted; the names are valid for this store only. */
  readonly tried = new Set<string>();
  private readonly keys: DecryptedKeys;
  private cache = new Map<string, LoadedCertificate>();
  private used = new Map<string, LoadedCertificate>();

  constructor(store: CertificateStore, keys: DecryptedKeys) {
    this.store = store;
    this.keys = keys;
  }

  /** Loads a certificate and its key. Throws a UsageError if the files cannot be used. */
  load({ cert, key }: Pick<PemFile, "cert" | "key">): LoadedCertificate {
    try {
      const stamps = [cert, key].map((file) => file === "" ? "" : `${stampOf(file)} ${file}`);
      const place = stamps.join("\0");
      const loaded = this.used.get(place) ?? this.cache.get(place) ?? this.read(cert, key);
      this.used.set(place, loaded);
      return loaded;
    } catch (error) {
      const pair = key === "" ? pairIn(dirname(cert)) : undefined;
      if (error instanceof NotInFile && pair) {
        throw new NotInFile(error.fault, pairRemedy(pair));
      }
      if (!(error instanceof FileError)) throw error;
      throw new UsageError(`PEM file ${isDirectory(cert) ? aboutDirectory(cert) : error.message}`);
    }
  }

  /** Forgets what was not loaded since the last call. */
  forgetUnused(): void {
    this.cache = this.used;
    this.used = new Map();
  }

  /** Returns the bytes of the store in use by what was loaded since {@link forgetUnused}. */
  usedBytes(): number {
    const lengths = new Map([...this.used.values()].map(({ offset, length }) => [offset, length]));
    return [...lengths.values()].reduce((sum, length) => sum + length, 0);
  }

  /** Wipes the files' bytes, which may hold keys. */
  private read(cert: string, key: string): LoadedCertificate {
    const texts: Buffer[] = [];
    const isSeparate = key !== "" && key !== cert;
    let exposedKey = "";
    const read = (file: string) => {
      const onExposed = () => {
        if (!isSeparate || file === key) exposedKey = file;
      };
      const text = readFile(file, { also: "pipe", onExposed });
      texts.push(text);
      return { text, file };
    };
    try {
      const loaded = this.add(read(cert), isSeparate ? read(key) : undefined);
      return { ...loaded, exposedKey };
    } finally {
      for (const text of texts) text.fill(0);
    }
  }

  private add(cert: NamedText, key: NamedText | undefined): Omit<LoadedCertificate, "exposedKey"> {
    let encrypted: string | undefined;
    const bundle = parseBundle(cert, (pem, file) => {
      const opened = this.keys.open(pem, file);
      encrypted = opened.name;
      return opened.key;
    }, key);
    const { material, ...facts } = bundle;
    const location = this.store.add(material);
    material.key.fill(0);
    if (encrypted !== undefined) this.keys.keep(encrypted, this.store, location);
    const hasDh = material.dhParameters !== undefined;
    return { ...facts, hasDh, ...location };
  }
}

function aboutDirectory(path: string): string {
  const pair = pairIn(path);
  if (pair) return `${path}: it is a directory; ${pairRemedy(pair)}`;
  return `${path}: it is a directory; specify a file in it, or all of them with --pem-dir=${path}`;
}
