import type { Log } from "../base/log_entry.ts";
import type { Reads } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { SessionEvent, SessionFound } from "./messages.ts";
import { SessionCache } from "./session_cache.ts";
import { SessionPeers, spawnPeers } from "./session_peers.ts";
import type { PeersPlan } from "./session_peers_plan.ts";

/** The parts of a prepared configuration that are about sessions. */
export interface SessionPlan {
  readonly config: Reads<"sessions.cache" | "sessions.timeout">;
  /** Absent: sessions are not shared with other machines. */
  readonly cachePeers?: PeersPlan;
}

/** The TLS 1.2 sessions that all workers share. They outlive workers and generations. */
export class Sessions {
  private readonly cache = new SessionCache();
  private readonly peers: SessionPeers;
  private readonly isAsked: boolean;
  private timeout = 0;

  constructor(runtime: Runtime, log: Log, options: { readonly isSuccessor: boolean }) {
    this.isAsked = runtime.capabilities.sessionCache;
    this.peers = new SessionPeers(runtime.libc, (fd) => spawnPeers(runtime, fd, log), {
      session: (made) => this.cache.store(made, made.session, Math.min(made.seconds, this.timeout)),
      log,
    }, options);
  }

  /**
   * Opens the sockets of a plan; call `use` or `drop` next. Throws a UsageError and changes nothing
   * then.
   */
  open({ cachePeers }: Pick<SessionPlan, "cachePeers">): void {
    this.peers.open(cachePeers);
  }

  /** Switches to the opened plan. Cached sessions stay. */
  use({ config }: SessionPlan): void {
    this.timeout = config.sessions.timeout;
    this.cache.resize(config.sessions.cache);
    this.peers.use();
  }

  /** Closes what was opened. */
  drop(): void {
    this.peers.drop();
  }

  /** Handles a worker's event and returns the answer, if any. */
  handle(report: SessionEvent): SessionFound | undefined {
    // Only a compromised worker would ask, and answers that it does not read could pile up.
    if (!this.isAsked) return undefined;
    if (report.type === "session-made") {
      const { policy, id, session } = report;
      this.cache.store(report, session, this.timeout);
      this.peers.share({ type: "session", policy, id, session, seconds: this.timeout });
      return undefined;
    }
    const session = this.cache.find(report);
    const { number } = report;
    return { type: "session-found", number, ...(session === undefined ? {} : { session }) };
  }

  /** Call it about once a second. */
  check(): void {
    this.cache.sweep();
  }

  /** Stops sharing with other machines. Resolves when the helper has exited. */
  stop(): Promise<void> {
    return this.peers.stop();
  }
}
