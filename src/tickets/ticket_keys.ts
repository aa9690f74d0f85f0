import { hkdfSync, randomFillSync } from "node:crypto";
import type { TicketAnswer } from "../runtime/tls.ts";
import type { TicketRing } from "./ring.ts";

/**
 * The keys of session tickets in a worker; OpenSSL asks for a key for each ticket. They are derived
 * from the secrets of the ring, separately for each verification policy, so that a session of an
 * unverified client cannot resume where clients are verified.
 */
export class TicketKeys {
  private current: Secret;
  private secrets: readonly Secret[];
  /** Random bytes for initialisation vectors: fetching 16 alone costs 4 µs, ten times as much. */
  private readonly vectors = Buffer.alloc(VECTORS * PART);
  private usedVectors = VECTORS;

  constructor(ring: TicketRing) {
    this.secrets = ring.secrets.map((text) => new Secret(text));
    this.current = this.secrets[ring.current]!;
  }

  /** Switches to this ring. */
  use({ secrets, current }: TicketRing): void {
    const known = this.secrets;
    this.secrets = secrets.map((text) =>
      known.find((secret) => secret.text === text) ?? new Secret(text)
    );
    this.current = this.secrets[current]!;
  }

  /**
   * Answers OpenSSL's callback for a ticket; `name` and `iv` are the ticket's unless it `isNew`.
   * Tickets of another `policy` are not accepted.
   */
  answer(policy: string, name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer {
    if (isNew) {
      const key = this.current.key(policy);
      return [1, key.hmac, key.aes, key.name, this.vector()];
    }
    for (const secret of this.secrets) {
      const key = secret.key(policy);
      if (!key.name.equals(name)) continue;
      return [secret === this.current ? 1 : 2, key.hmac, key.aes, name, iv];
    }
    return [0, NONE, NONE, name, iv];
  }

  /** Returns a view; the adapter copies it before the next call. */
  private vector(): Buffer {
    if (this.usedVectors === VECTORS) {
      randomFillSync(this.vectors);
      this.usedVectors = 0;
    }
    const start = this.usedVectors++ * PART;
    return this.vectors.subarray(start, start + PART);
  }
}

interface Key {
  readonly name: Buffer;
  readonly hmac: Buffer;
  readonly aes: Buffer;
}

class Secret {
  readonly text: string;
  /** By policy; a configuration has few of them. */
  private readonly keys = new Map<string, Key>();

  constructor(text: string) {
    this.text = text;
  }

  /** HKDF-SHA-256 (RFC 5869). */
  key(policy: string): Key {
    const known = this.keys.get(policy);
    if (known) return known;
    const secret = Buffer.from(this.text, "base64");
    const bytes = Buffer.from(
      hkdfSync("sha256", secret, "", `stud ticket key ${policy}`, 3 * PART),
    );
    const key = {
      name: bytes.subarray(0, PART),
      hmac: bytes.subarray(PART, 2 * PART),
      aes: bytes.subarray(2 * PART),
    };
    this.keys.set(policy, key);
    return key;
  }
}

/** Length of each part of a key and of an initialisation vector, in bytes. */
const PART = 16;
const VECTORS = 256;
const NONE = Buffer.alloc(PART);
