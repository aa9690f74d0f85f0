import { createHmac, randomBytes, randomFillSync } from "node:crypto";

/** What OpenSSL is told: whether it may (2: and is to make a new ticket), and by what. */
export type TicketAnswer = readonly [
  verdict: 0 | 1 | 2,
  hmac: Buffer,
  aes: Buffer,
  name: Buffer,
  iv: Buffer,
];

/**
 * What the keys of session tickets are made from. A secret makes tickets for {@link PERIOD}, and
 * reads them for as long again, which is how long a ticket is valid: no client has to make a full
 * handshake because of the change, and a stolen secret opens four hours of tickets at most.
 *
 * The change comes with the first ticket after its time, so it costs no timer.
 */
export class TicketSecrets {
  private readonly now: () => number;
  private current: Secret;
  private previous: Secret | undefined;
  /** Random bytes for initialisation vectors: to fetch 16 alone costs 4 µs, ten times as much. */
  private readonly vectors = Buffer.alloc(VECTORS * PART);
  private usedVectors = VECTORS;

  /** `now` tells milliseconds that never jump. */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.current = new Secret(now());
  }

  /**
   * OpenSSL's question at each ticket: `name` and `iv` are the ticket's, unless it `isNew`. Tickets
   * that were made for another `policy` are not read.
   */
  answer(policy: string, name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer {
    this.change();
    if (isNew) {
      const key = this.current.key(policy);
      return [1, key.hmac, key.aes, key.name, this.vector()];
    }
    for (const secret of [this.current, this.previous]) {
      const key = secret?.key(policy);
      if (!key?.name.equals(name)) continue;
      return [secret === this.current ? 1 : 2, key.hmac, key.aes, name, iv];
    }
    return [0, NONE, NONE, name, iv];
  }

  /** OpenSSL's side copies it before the next one is asked for. */
  private vector(): Buffer {
    if (this.usedVectors === VECTORS) {
      randomFillSync(this.vectors);
      this.usedVectors = 0;
    }
    const start = this.usedVectors++ * PART;
    return this.vectors.subarray(start, start + PART);
  }

  private change(): void {
    const now = this.now();
    const age = now - this.current.since;
    if (age < PERIOD) return;
    this.previous = age < 2 * PERIOD ? this.current : undefined;
    this.current = new Secret(now);
  }
}

/** How long a secret makes tickets, in milliseconds: as long as OpenSSL lets one be valid. */
export const PERIOD = 7_200_000;

interface Key {
  readonly name: Buffer;
  readonly hmac: Buffer;
  readonly aes: Buffer;
}

class Secret {
  readonly since: number;
  private readonly bytes = randomBytes(48);
  /** By policy, of which a configuration has a few. */
  private readonly keys = new Map<string, Key>();

  constructor(since: number) {
    this.since = since;
  }

  key(policy: string): Key {
    const known = this.keys.get(policy);
    if (known) return known;
    // SHA-384 gives as many bytes as are needed.
    const bytes = createHmac("sha384", this.bytes).update(policy).digest();
    const key = {
      name: bytes.subarray(0, PART),
      hmac: bytes.subarray(PART, 2 * PART),
      aes: bytes.subarray(2 * PART),
    };
    this.keys.set(policy, key);
    return key;
  }
}

/** Bytes of each part of a key, and of an initialisation vector. */
const PART = 16;
const VECTORS = 256;
const NONE = Buffer.alloc(PART);
