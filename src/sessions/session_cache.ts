import { type Clock, systemClock } from "../base/clock.ts";
import type { SessionName } from "./messages.ts";

/** Characters for a session in the mean: one has 200, with a client certificate a thousand or two. */
const AVERAGE_LENGTH = 2048;

interface Kept {
  /** Base64. */
  readonly session: string;
  /** On the clock. */
  readonly until: number;
}

/** The TLS 1.2 sessions of all workers; beyond its size, who was away longest goes. */
export class SessionCache {
  /** By policy and id, who was here last at the end. */
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

  /** So many sessions are kept from now on. */
  resize(most: number): void {
    this.most = most;
    this.trim();
  }

  /** Keeps a session, in base64, for so many seconds, in place of one with the same name. */
  store(name: SessionName, session: string, seconds: number): void {
    const key = keyOf(name);
    this.drop(key);
    this.sessions.set(key, { session, until: this.clock.now() + seconds * 1000 });
    this.characters += session.length;
    this.trim();
  }

  /** The session in base64. */
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
   * Forgets those that are out of date. One may stay behind another that was here later: at most
   * for as long as a session lives.
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
