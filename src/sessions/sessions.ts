import type { Log } from "../base/log_entry.ts";
import type { Reads } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { SessionEvent, SessionFound } from "./messages.ts";
import { SessionCache } from "./session_cache.ts";
import { SessionPeers, spawnPeers } from "./session_peers.ts";
import type { PeersPlan } from "./session_peers_plan.ts";

/** What of a configuration is about them. */
export interface SessionPlan {
  readonly config: Reads<"sessions.cache" | "sessions.timeout">;
  /** Absent: no other machine gets to know them. */
  readonly cachePeers?: PeersPlan;
}

/** The TLS 1.2 sessions that all workers know: they outlive workers and generations. */
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

  /** Opens what `use` or `drop` is to be called for. Throws a UsageError; nothing has changed then. */
  open({ cachePeers }: Pick<SessionPlan, "cachePeers">): void {
    this.peers.open(cachePeers);
  }

  /** This configuration, for which all is open, counts from now on. What is kept stays. */
  use({ config }: SessionPlan): void {
    this.timeout = config.sessions.timeout;
    this.cache.resize(config.sessions.cache);
    this.peers.use();
  }

  /** What was opened is not to be used. */
  drop(): void {
    this.peers.drop();
  }

  /** What a worker says, and what it is answered. */
  handle(report: SessionEvent): SessionFound | undefined {
    // No worker of ours would, and answers to one that does not read them could pile up.
    if (!this.isAsked) return undefined;
    if (report.type === "session-made") {
      const { policy, id, session } = report;
      this.cache.store(report, session, this.timeout);
      this.peers.tell({ type: "session", policy, id, session, seconds: this.timeout });
      return undefined;
    }
    const session = this.cache.find(report);
    const { number } = report;
    return { type: "session-found", number, ...(session === undefined ? {} : { session }) };
  }

  /** To be called about once a second. */
  check(): void {
    this.cache.sweep();
  }

  /** Shares nothing with other machines any more; fulfilled when the helper for it is gone. */
  stop(): Promise<void> {
    return this.peers.stop();
  }
}
