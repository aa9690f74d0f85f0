import { type Clock, systemClock } from "../base/clock.ts";
import { ipBytes, unmappedBytes } from "../os/ip.ts";
import type { Limits } from "../options/config.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { ConnectionFailure } from "./failure.ts";

/** The connections of one source address and what its limits still allow. */
export interface Source {
  readonly key: SourceKey;
  open: number;
  /** New connections that its rate allows now. */
  tokens: number;
  /** When `tokens` was last updated, in milliseconds. */
  refilledAt: number;
}

/** An IPv4 address, or the first 64 bits of an IPv6 one. */
export type SourceKey = number | string;

/** Maximum number of entries; this many take some 8 MB. */
export const MAX_SOURCES = 65_536;
/** Time without new connections after which the bucket is full, in milliseconds. */
const REFILL_MS = 1000;

/** Counts connections by source address. */
export class Sources {
  private readonly maxOpen: number;
  private readonly rate: number;
  private readonly clock: Clock;
  private readonly sources = new Map<SourceKey, Source>();
  private sweptAt = -Infinity;

  /** 0 is no limit. */
  constructor(
    { sourceConnections, sourceRate }: Pick<Limits, "sourceConnections" | "sourceRate">,
    clock: Clock = systemClock,
  ) {
    this.maxOpen = sourceConnections || Infinity;
    this.rate = sourceRate || Infinity;
    this.clock = clock;
  }

  /** The number of entries. */
  get size(): number {
    return this.sources.size;
  }

  /**
   * Returns the source of a client, for `admit`. Undefined for clients of Unix sockets, and for new
   * sources while the table is full: refusing them would let an attacker deny service by filling it.
   */
  of(client: Endpoint): Source | undefined {
    if (client.family === "unix") return undefined;
    const key = sourceKey(client.address);
    const known = this.sources.get(key);
    if (known) return known;
    if (this.sources.size >= MAX_SOURCES) this.sweep();
    if (this.sources.size >= MAX_SOURCES) return undefined;
    const source: Source = { key, open: 0, tokens: this.rate, refilledAt: this.clock.now() };
    this.sources.set(key, source);
    return source;
  }

  /** Counts a new connection until `release`, or returns why it is refused. */
  admit(source: Source): ConnectionFailure | undefined {
    if (source.open >= this.maxOpen) return tooMany;
    if (Number.isFinite(this.rate)) {
      this.refill(source);
      if (source.tokens < 1) return tooFast;
      source.tokens--;
    }
    source.open++;
    return undefined;
  }

  /** A counted connection has closed. */
  release(source: Source): void {
    source.open--;
    if (source.open === 0 && !Number.isFinite(this.rate)) this.sources.delete(source.key);
  }

  private refill(source: Source): void {
    const now = this.clock.now();
    const gained = (now - source.refilledAt) * this.rate / REFILL_MS;
    source.tokens = Math.min(this.rate, source.tokens + gained);
    source.refilledAt = now;
  }

  /** Drops idle sources with full buckets. At most once per second, since it may find none. */
  private sweep(): void {
    const now = this.clock.now();
    if (now - this.sweptAt < REFILL_MS) return;
    this.sweptAt = now;
    for (const [key, { open, refilledAt }] of this.sources) {
      if (open === 0 && now - refilledAt >= REFILL_MS) this.sources.delete(key);
    }
  }
}

/** Returns the key of an address. Throws a RangeError if it is not numeric. */
export function sourceKey(address: string): SourceKey {
  const bytes = unmappedBytes(ipBytes(address));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (bytes.length === 4) return view.getUint32(0);
  return `${view.getUint32(0).toString(36)}:${view.getUint32(4).toString(36)}`;
}

const tooMany: ConnectionFailure = {
  source: "client",
  code: "source-limit",
  cause: "its address has reached --max-source-connections",
};

const tooFast: ConnectionFailure = {
  source: "client",
  code: "source-rate",
  cause: "its address has exceeded --max-source-rate",
};
