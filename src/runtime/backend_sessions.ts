import type { Endpoint } from "../os/endpoint.ts";

/** Maximum number of backend addresses with kept sessions, and of sessions of one address. */
const MAX_BACKENDS = 64;
const MAX_SESSIONS = 16;
/** Maximum time in milliseconds for which sessions rely on one verification of the backend. */
const MAX_TRUST_MS = 3_600_000;

/** A session that the backend issued. */
interface KeptSession {
  /** In the TLS library's own format. */
  readonly bytes: Uint8Array;
  /** Each ticket of TLS 1.3 should serve one connection (RFC 8446 appendix C.4). */
  readonly isSingleUse: boolean;
  /** Until when its verification holds, in milliseconds of the wall clock. */
  readonly trustedUntil: number;
}

/**
 * The TLS sessions of one client context with its backends. They never leave it, so they are only
 * resumed with the same server name, CAs and verification; a backend whose verification has become
 * old, or whose certificate has expired, makes a full handshake.
 */
export class BackendSessions {
  /** By address, the newest sessions last. */
  private readonly kept = new Map<string, KeptSession[]>();
  private readonly now: () => number;

  constructor(now = Date.now) {
    this.now = now;
  }

  /** Begins a connection. */
  connect(backend: Endpoint): BackendSession {
    const address = backend.family === "unix" ? backend.path : `${backend.address} ${backend.port}`;
    return new BackendSession(this, address, this.take(address));
  }

  /** For {@link BackendSession}, as the next two: until when a verification made now is relied on. */
  trustFrom(certificateExpires: number): number {
    return Math.min(this.now() + MAX_TRUST_MS, certificateExpires);
  }

  keep(address: string, session: KeptSession): void {
    let sessions = this.kept.get(address);
    if (!sessions) {
      if (this.kept.size === MAX_BACKENDS) this.kept.delete(this.kept.keys().next().value!);
      this.kept.set(address, sessions = []);
    }
    if (!session.isSingleUse) sessions.length = 0;
    else if (sessions.length === MAX_SESSIONS) sessions.shift();
    sessions.push(session);
  }

  forget(address: string, session: KeptSession): void {
    const sessions = this.kept.get(address);
    const index = sessions?.indexOf(session) ?? -1;
    if (index >= 0) sessions!.splice(index, 1);
  }

  /** Returns the newest session. The last one of a backend is kept for other connections too. */
  private take(address: string): KeptSession | undefined {
    const sessions = this.kept.get(address);
    const newest = sessions?.at(-1);
    if (!newest) return undefined;
    if (newest.trustedUntil <= this.now()) {
      this.kept.delete(address);
      return undefined;
    }
    if (sessions!.length > 1) sessions!.pop();
    return newest;
  }
}

/** The session of one connection to a backend. */
export class BackendSession {
  private readonly sessions: BackendSessions;
  private readonly address: string;
  private readonly offered: KeptSession | undefined;
  /** Set by {@link accepted}. */
  private trustedUntil: number | undefined;
  /** Issued before {@link accepted}. */
  private early: Pick<KeptSession, "bytes" | "isSingleUse"> | undefined;

  constructor(sessions: BackendSessions, address: string, offered: KeptSession | undefined) {
    this.sessions = sessions;
    this.address = address;
    this.offered = offered;
  }

  /** The session to offer to the backend. */
  get bytes(): Uint8Array | undefined {
    return this.offered?.bytes;
  }

  /** The backend has issued a session; `bytes` is copied. */
  issued(bytes: Uint8Array, isSingleUse: boolean): void {
    const session = { bytes: new Uint8Array(bytes), isSingleUse };
    if (this.trustedUntil === undefined) this.early = session;
    else this.sessions.keep(this.address, { ...session, trustedUntil: this.trustedUntil });
  }

  /**
   * The handshake is complete, and the backend, whose certificate expires at `certificateExpires` in
   * milliseconds of the wall clock, is trusted.
   */
  accepted(isResumed: boolean, certificateExpires: number): void {
    const { offered, early, sessions } = this;
    if (offered && !isResumed) sessions.forget(this.address, offered);
    this.trustedUntil = isResumed && offered
      ? offered.trustedUntil
      : sessions.trustFrom(certificateExpires);
    this.early = undefined;
    if (early) this.issued(early.bytes, early.isSingleUse);
  }

  /** The handshake has failed: perhaps because of the session, so no other connection offers it. */
  failed(): void {
    if (this.offered) this.sessions.forget(this.address, this.offered);
  }
}
