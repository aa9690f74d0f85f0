import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { SECRET_LENGTH } from "./ring.ts";

/** The first byte of a value: the version of its format. */
const VERSION = 1;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const NAME_LENGTH = 16;

/** Length of a value in bytes: version, nonce, sealed secret, tag. */
export const VALUE_LENGTH = 1 + NONCE_LENGTH + SECRET_LENGTH + TAG_LENGTH;

/**
 * The entries of a ticket store, one for each time slot: the slot's secret, sealed with AES-256-GCM
 * (NIST SP 800-38D), under a name that reveals nothing. The name is authenticated too, so an entry
 * that was copied to another name does not open.
 */
export class StoreEntries {
  /** The prefix of the names of all slots. */
  readonly prefix: string;
  private readonly key: Uint8Array;

  /** `secret` is the fleet's; slots are `period` seconds long. */
  constructor(secret: Uint8Array, period: number) {
    const id = derive(secret, "stud ticket store name", NAME_LENGTH).toString("hex");
    this.prefix = `stud:ticket-key:${id}:${period}:`;
    this.key = derive(secret, "stud ticket store seal", SECRET_LENGTH);
  }

  nameOf(slot: number): string {
    return `${this.prefix}${slot}`;
  }

  /** Returns the value for a slot; `secret` is base64, as in a ring. */
  seal(slot: number, secret: string): Uint8Array {
    const nonce = randomBytes(NONCE_LENGTH);
    const cipher = createCipheriv("aes-256-gcm", this.key, nonce);
    cipher.setAAD(Buffer.from(this.nameOf(slot)));
    const sealed = Buffer.concat([cipher.update(secret, "base64"), cipher.final()]);
    return Buffer.concat([Uint8Array.of(VERSION), nonce, sealed, cipher.getAuthTag()]);
  }

  /**
   * Returns the secret in a slot's value, or undefined if this fleet did not seal it for this slot.
   */
  open(slot: number, value: Uint8Array): string | undefined {
    if (value.length !== VALUE_LENGTH || value[0] !== VERSION) return undefined;
    const nonce = value.subarray(1, 1 + NONCE_LENGTH);
    const sealed = value.subarray(1 + NONCE_LENGTH, -TAG_LENGTH);
    const decipher = createDecipheriv("aes-256-gcm", this.key, nonce, {
      authTagLength: TAG_LENGTH,
    });
    decipher.setAAD(Buffer.from(this.nameOf(slot)));
    decipher.setAuthTag(value.subarray(-TAG_LENGTH));
    try {
      return Buffer.concat([decipher.update(sealed), decipher.final()]).toString("base64");
    } catch {
      return undefined;
    }
  }
}

/** HKDF-SHA-256 (RFC 5869). */
function derive(secret: Uint8Array, label: string, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", label, length));
}
