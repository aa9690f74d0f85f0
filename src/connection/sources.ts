import { type Clock, systemClock } from "../base/clock.ts";
import { ipBytes, unmappedBytes } from "../os/ip.ts";
import type { Limits } from "../options/config.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { ConnectionFailure } from "./failure.ts";

/** What one source address has and may have. */
export interface Source {
  readonly key: SourceKey;
  open: number;
  /** New connections that it may make at once. */
  tokens: number;
  /** When `tokens` was right, in milliseconds. */
  at: number;
}

/** An IPv4 address, or the first 64 bits of an IPv6 one. */
export type SourceKey = number | string;

/** As much memory as this many entries take, some 8 MB, may be spent on sources. */
export const MAX_SOURCES = 65_536;
/** A bucket is full again after this long without new connections. */
const REFILL_MS = 1000;

/** Counts connections by source address. */
export class Sources {
  private readonly most: number;
  private readonly rate: number;
  private readonly clock: Clock;
  private readonly sources = new Map<SourceKey, Source>();
  private sweptAt = -Infinity;

  /** 0 is no limit, of either. */
  constructor(
    { sourceConnections, sourceRate }: Pick<Limits, "sourceConnections" | "sourceRate">,
    clock: Clock = systemClock,
  ) {
    this.most = sourceConnections || Infinity;
    this.rate = sourceRate || Infinity;
    this.clock = clock;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.sources.size;
  }

  /**
   * The source of a client, to be counted by `enter`. Undefined for clients of Unix sockets, and for
   * new sources while the table is full of others: to refuse strangers because of those who have
   * filled it would do their work.
   */
  of(client: Endpoint): Source | undefined {
    if (client.family === "unix") return undefined;
    const key = sourceKey(client.address);
    const known = this.sources.get(key);
    if (known) return known;
    if (this.sources.size >= MAX_SOURCES) this.sweep();
    if (this.sources.size >= MAX_SOURCES) return undefined;
    const source: Source = { key, open: 0, tokens: this.rate, at: this.clock.now() };
    this.sources.set(key, source);
    return source;
  }

  /** Counts a new connection, to be told of by `leave` when it ends; or why there may be none. */
  enter(source: Source): ConnectionFailure | undefined {
    if (source.open >= this.most) return tooMany;
    if (Number.isFinite(this.rate)) {
      this.refill(source);
      if (source.tokens < 1) return tooFast;
      source.tokens--;
    }
    source.open++;
    return undefined;
  }

  leave(source: Source): void {
    source.open--;
    if (source.open === 0 && !Number.isFinite(this.rate)) this.sources.delete(source.key);
  }

  private refill(source: Source): void {
    const now = this.clock.now();
    const gained = (now - source.at) * this.rate / REFILL_MS;
    source.tokens = Math.min(this.rate, source.tokens + gained);
    source.at = now;
  }

  /** Drops sources that are as good as new. There may be none, so it is not tried all the time. */
  private sweep(): void {
    const now = this.clock.now();
    if (now - this.sweptAt < REFILL_MS) return;
    this.sweptAt = now;
    for (const [key, { open, at }] of this.sources) {
      if (open === 0 && now - at >= REFILL_MS) this.sources.delete(key);
    }
  }
}

/** Throws a RangeError for what is no numeric address. */
export function sourceKey(address: string): SourceKey {
  const bytes = unmappedBytes(ipBytes(address));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (bytes.length === 4) return view.getUint32(0);
  return `${view.getUint32(0).toString(36)}:${view.getUint32(4).toString(36)}`;
}

const tooMany: ConnectionFailure = {
  source: "client",
  code: "source-limit",
  cause: "its address has as many connections as --max-source-connections allows",
};

const tooFast: ConnectionFailure = {
  source: "client",
  code: "source-rate",
  cause: "its address makes more new connections a second than --max-source-rate allows",
};
