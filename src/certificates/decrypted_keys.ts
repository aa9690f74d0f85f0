import { createHash, createPrivateKey, type KeyObject } from "node:crypto";
import type { Libc } from "../os/libc.ts";
import type { Passphrases } from "./passphrases.ts";
import { type CertificateStore, type Location, readKey } from "./store.ts";

interface Kept {
  readonly store: CertificateStore;
  readonly location: Location;
}

/**
 * Finds keys that were decrypted before, so that a reload needs no passphrase for them. A key is
 * looked up in the certificate store by the hash of its encrypted form, so it may be in another
 * file or with another certificate than before.
 */
export class DecryptedKeys {
  private readonly libc: Libc;
  private readonly passphrases: Passphrases;
  private readonly kept = new Map<string, Kept>();

  constructor(libc: Libc, passphrases: Passphrases) {
    this.libc = libc;
    this.passphrases = passphrases;
  }

  /**
   * Returns the key in an encrypted PEM section of `file`, and a name for {@link keep}. Throws a
   * UsageError if it was not decrypted before and no passphrase decrypts it.
   */
  open(pem: Buffer, file: string): { readonly name: string; readonly key: KeyObject } {
    const name = createHash("sha256").update(pem).digest("base64");
    const kept = this.kept.get(name);
    return { name, key: kept ? this.read(kept) : this.passphrases.open(pem, file) };
  }

  /** Remembers where the decrypted key is stored. */
  keep(name: string, store: CertificateStore, location: Location): void {
    this.kept.set(name, { store, location });
  }

  /** Copies the keys of a store that is about to be closed into another one. */
  move(from: CertificateStore, to: CertificateStore): void {
    for (const [name, kept] of this.kept) {
      if (kept.store !== from) continue;
      this.keep(name, to, this.withKey(kept, (key) => to.add({ chain: "", key })));
    }
  }

  private read(kept: Kept): KeyObject {
    return this.withKey(
      kept,
      (key) => createPrivateKey({ key, format: "der", type: "pkcs8" }),
    );
  }

  private withKey<T>({ store, location }: Kept, action: (key: Buffer) => T): T {
    const key = readKey(this.libc, store.readFd, location);
    try {
      return action(key);
    } finally {
      key.fill(0);
    }
  }
}
