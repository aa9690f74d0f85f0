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

/** What decides whether clients are brought to always the same worker. */
export type AffinityPlan = Reads<
  "backendTls" | "sessions.affinity" | "sessions.tickets" | "workers"
>;

/** What is asked of a worker's slot. */
interface CountingSlot {
  readonly number: number;
  readonly isServing: boolean;
  /** Connections that its workers have accepted. */
  readonly accepted: number;
}

/** What it needs of the master. */
export interface AffinityDependencies {
  readonly log: Log;
  /** The sockets of each address that has several of the master's. */
  groups(): readonly (readonly number[])[];
  /** Workers that bind by themselves end it. */
  balance(): void;
}

/**
 * Brings each client to always the same worker, which knows its sessions. Where it is not asked for
 * by name it ends when it burdens one worker, until the next reload.
 */
export class Affinity {
  private readonly runtime: Pick<Runtime, "capabilities" | "libc">;
  private readonly dependencies: AffinityDependencies;
  private readonly loadSkew: LoadSkew;
  private readonly multiplier = randomMultiplier();
  /** It is in use, and may end by itself. */
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

  /** What workers that bind by themselves attach to their sockets. */
  ruleFor(plan: AffinityPlan): AffinityRule | undefined {
    if (this.runtime.capabilities.adoptSockets || !this.isWanted(plan)) return undefined;
    return { multiplier: this.multiplier, sockets: plan.workers };
  }

  /** A configuration is in use whose workers listen: it begins anew, or ends. */
  use(plan: AffinityPlan): void {
    const { libc } = this.runtime;
    this.loadSkew.restart();
    const isWanted = this.isWanted(plan);
    this.isWatched = isWanted && plan.sessions.affinity === "auto";
    if (!isWanted) return this.detach();
    const { multiplier } = this;
    const isTaken = this.dependencies.groups().every((fds) =>
      attachAffinity(libc, fds[0]!, { multiplier, sockets: fds.length })
    );
    if (isTaken) return;
    this.dependencies.log(affinityRefused(libc));
    this.isWatched = false;
    this.detach();
  }

  /** To be called about once a second. */
  check(slots: readonly CountingSlot[]): void {
    if (!this.isWatched) return;
    // Another worker has the connections of one that is away.
    if (!slots.every(({ isServing }) => isServing)) return this.loadSkew.restart();
    const overload = this.loadSkew.look(slots.map(({ accepted }) => accepted));
    if (!overload) return;
    this.isWatched = false;
    this.detach();
    this.dependencies.balance();
    this.tell(overload, slots[overload.place]!.number);
  }

  private isWanted({ backendTls, sessions, workers }: AffinityPlan): boolean {
    const { affinity, tickets } = sessions;
    if (workers < 2 || affinity !== "auto") return workers > 1 && affinity === "on";
    // In client mode, and without tickets, no worker knows a client again.
    return tickets && !backendTls && !this.runtime.capabilities.ticketKeys;
  }

  private detach(): void {
    for (const [first] of this.dependencies.groups()) detachAffinity(this.runtime.libc, first!);
  }

  private tell({ share, connections, seconds }: Overload, worker: number): void {
    const percent = Math.floor(share * 100);
    const message = `got ${percent} % of the ${connections} new connections of the last ` +
      `${seconds} s, since their clients have few addresses: until the next reload clients are no ` +
      "longer brought to the worker that knows their sessions; --affinity=on keeps to it, " +
      "--affinity=off never begins";
    const facts = { worker, percent, connections };
    this.dependencies.log({ level: "warn", event: "affinity-ended", message, facts });
  }
}
