import type { Log } from "../../base/log_entry.ts";
import type { Reads } from "../../options/config.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import {
  affinityRefused,
  type AffinityRule,
  attachAffinity,
  detachAffinity,
  randomMultiplier,
} from "../../system/affinity.ts";
import { LoadSkew, type Overload } from "./load_skew.ts";

/** The settings that decide about client affinity. */
export type AffinityPlan = Reads<
  "backendTls" | "sessions.affinity" | "sessions.tickets" | "workers"
>;

/** What is read of a worker's slot. */
interface CountingSlot {
  readonly number: number;
  readonly isServing: boolean;
  /** Connections that its workers have accepted so far. */
  readonly accepted: number;
}

/** What client affinity needs of the master. */
export interface AffinityDependencies {
  readonly log: Log;
  /** Returns the sockets of each address for which the master has several. */
  groups(): readonly (readonly number[])[];
  /** Makes workers that bind their own sockets use this rule; null: none. */
  route(rule: AffinityRule | null): void;
}

/**
 * Client affinity: the kernel routes each client to the same worker, which knows its sessions. With
 * `auto` it ends, until the next reload, if it overloads a worker.
 */
export class Affinity {
  private readonly runtime: Pick<Runtime, "capabilities" | "libc">;
  private readonly dependencies: AffinityDependencies;
  private readonly loadSkew: LoadSkew;
  private readonly multiplier = randomMultiplier();
  /** It is in use, and ends on an overload. */
  private isWatched = false;

  constructor(
    runtime: Pick<Runtime, "capabilities" | "libc">,
    dependencies: AffinityDependencies,
    loadSkew: LoadSkew = new LoadSkew(),
  ) {
    this.runtime = runtime;
    this.dependencies = dependencies;
    this.loadSkew = loadSkew;
  }

  /** Starts or ends it for a configuration whose workers already listen. */
  use(plan: AffinityPlan): void {
    const { libc } = this.runtime;
    this.loadSkew.restart();
    const isWanted = this.isWanted(plan);
    this.isWatched = isWanted && plan.sessions.affinity === "auto";
    const { multiplier } = this;
    if (!this.runtime.capabilities.adoptSockets) {
      this.dependencies.route(isWanted ? { multiplier, sockets: plan.workers } : null);
    }
    if (!isWanted) return this.detach();
    const isAttached = this.dependencies.groups().every((fds) =>
      attachAffinity(libc, fds[0]!, { multiplier, sockets: fds.length })
    );
    if (isAttached) return;
    this.dependencies.log(affinityRefused(libc));
    this.isWatched = false;
    this.detach();
  }

  /** Called about once a second. */
  check(slots: readonly CountingSlot[]): void {
    if (!this.isWatched) return;
    // Another worker accepts the connections of one that is unavailable.
    if (!slots.every(({ isServing }) => isServing)) return this.loadSkew.restart();
    const overload = this.loadSkew.check(slots.map(({ accepted }) => accepted));
    if (!overload) return;
    this.isWatched = false;
    this.detach();
    this.dependencies.route(null);
    this.logEnded(overload, slots[overload.place]!.number);
  }

  private isWanted({ backendTls, sessions, workers }: AffinityPlan): boolean {
    const { affinity, tickets } = sessions;
    if (workers < 2 || affinity !== "auto") return workers > 1 && affinity === "on";
    // In client mode, and without tickets, no client resumes a session.
    return tickets && !backendTls && !this.runtime.capabilities.ticketKeys;
  }

  private detach(): void {
    for (const [first] of this.dependencies.groups()) detachAffinity(this.runtime.libc, first!);
  }

  private logEnded({ share, connections, seconds }: Overload, worker: number): void {
    const percent = Math.floor(share * 100);
    const message = `got ${percent} % of the ${connections} new connections in the last ` +
      `${seconds} s, since their clients have few addresses; until the next reload clients are no ` +
      "longer routed to the worker that knows their sessions; --affinity=on keeps client affinity, " +
      "--affinity=off never starts it";
    const facts = { worker, percent, connections };
    this.dependencies.log({ level: "warn", event: "affinity-ended", message, facts });
  }
}
