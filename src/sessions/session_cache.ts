import { type Clock, systemClock } from "../base/clock.ts";
import type { SessionName } from "./messages.ts";

/**
 * Average characters of a session that the cache has room for: 200, or one to two thousand with a
 * client certificate.
 */
const AVERAGE_LENGTH = 2048;

interface Kept {
  /** Base64. */
  readonly session: string;
  /** In milliseconds of the clock. */
  readonly until: number;
}

/** The TLS 1.2 sessions of all workers; the least recently used ones are evicted. */
export class SessionCache {
  /** By policy and id, the most recently used one last. */
  private readonly sessions = new Map<string, Kept>();
  private readonly clock: Clock;
  private most = 0;
  private characters = 0;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  get size(): number {
    return this.sessions.size;
  }

  /** Sets the maximum number of sessions. */
  resize(most: number): void {
    this.most = most;
    this.trim();
  }

  /** Stores a session, in base64, for a number of seconds. Replaces one with the same name. */
  store(name: SessionName, session: string, seconds: number): void {
    const key = keyOf(name);
    this.drop(key);
    this.sessions.set(key, { session, until: this.clock.now() + seconds * 1000 });
    this.characters += session.length;
    this.trim();
  }

  /** Returns the session in base64, or undefined. */
  find(name: SessionName): string | undefined {
    const key = keyOf(name);
    const kept = this.sessions.get(key);
    if (!kept) return undefined;
    this.sessions.delete(key);
    if (kept.until > this.clock.now()) this.sessions.set(key, kept);
    else this.characters -= kept.session.length;
    return this.sessions.has(key) ? kept.session : undefined;
  }

  /**
   * Drops expired sessions. One may stay behind another that was used later, at most for the
   * lifetime of a session.
   */
  sweep(): void {
    const now = this.clock.now();
    for (const [key, { until }] of this.sessions) {
      if (until > now) return;
      this.drop(key);
    }
  }

  private trim(): void {
    for (const key of this.sessions.keys()) {
      const isFull = this.sessions.size > this.most ||
        this.characters > this.most * AVERAGE_LENGTH;
      if (!isFull) return;
      this.drop(key);
    }
  }

  private drop(key: string): void {
    this.characters -= this.sessions.get(key)?.session.length ?? 0;
    this.sessions.delete(key);
  }
}

function keyOf({ policy, id }: SessionName): string {
  return `${policy} ${id}`;
}
