import type { Config } from "../options/config.ts";
import { FleetKeys } from "../tickets/fleet_keys.ts";
import { LocalKeys, type LocalState } from "../tickets/local_keys.ts";
import { alsoReading, type TicketRing } from "../tickets/ring.ts";

/** Where ticket keys come from. */
interface TicketSource {
  readonly ring: TicketRing;
  /** To be called about once a second. True when the ring has changed. */
  check(): boolean;
}

/** What decides where they come from. */
export interface TicketPlan {
  readonly config: Pick<Config, "sessions">;
  readonly ticketSecret?: Uint8Array;
}

/** What a successor goes on with. */
export interface TicketState {
  readonly local?: LocalState;
  /** What is still read, though it makes no more tickets. */
  readonly retired: readonly RetiredSecrets[];
}

interface RetiredSecrets {
  readonly secrets: readonly string[];
  /** A second of CLOCK_MONOTONIC. */
  readonly until: number;
}

/** The ticket keys of all workers: they outlive workers, generations, and the program's version. */
export class Tickets {
  private readonly changed: (ring: TicketRing) => void;
  private readonly now: () => number;
  private source: TicketSource;
  /** By which two plans that lead to the same keys are known. */
  private name: string;
  private period: number;
  private retired: readonly RetiredSecrets[];

  /** `now` tells seconds of CLOCK_MONOTONIC. */
  constructor(
    plan: TicketPlan,
    changed: (ring: TicketRing) => void,
    now: () => number,
    inherited?: TicketState,
  ) {
    this.changed = changed;
    this.now = now;
    this.name = nameOf(plan);
    this.period = plan.config.sessions.ticketRotation;
    this.source = this.sourceOf(plan, inherited?.local);
    this.retired = inherited?.retired ?? [];
  }

  get ring(): TicketRing {
    return alsoReading(this.source.ring, this.retired.flatMap(({ secrets }) => secrets));
  }

  get state(): TicketState {
    const { source, retired } = this;
    return { retired, ...(source instanceof LocalKeys ? { local: source.state } : {}) };
  }

  /** Keys come from elsewhere from now on; those of before still read tickets for their time. */
  use(plan: TicketPlan): void {
    const name = nameOf(plan);
    if (name === this.name) return;
    this.retired = [
      ...this.retired,
      { secrets: this.source.ring.secrets, until: this.now() + this.period },
    ];
    this.name = name;
    this.period = plan.config.sessions.ticketRotation;
    this.source = this.sourceOf(plan);
    this.changed(this.ring);
  }

  /** To be called about once a second. */
  check(): void {
    const rest = this.retired.filter(({ until }) => this.now() < until);
    const isShorter = rest.length < this.retired.length;
    this.retired = rest;
    if (this.source.check() || isShorter) this.changed(this.ring);
  }

  private sourceOf({ config, ticketSecret }: TicketPlan, inherited?: LocalState): TicketSource {
    const { ticketRotation } = config.sessions;
    if (!ticketSecret) return new LocalKeys(ticketRotation, this.now, inherited);
    return new FleetKeys(ticketSecret, ticketRotation, () => Date.now() / 1000);
  }
}

function nameOf({ config, ticketSecret }: TicketPlan): string {
  const secret = ticketSecret ? Buffer.from(ticketSecret).toString("base64") : "";
  return JSON.stringify([config.sessions.ticketRotation, secret]);
}
