import type { Privileges } from "../system/ids.ts";
import type { Log } from "../base/log_entry.ts";
import type { Reads } from "../options/config.ts";
import { FleetKeys } from "./fleet_keys.ts";
import { LocalKeys, type LocalState } from "./local_keys.ts";
import { alsoReading, type TicketRing } from "./ring.ts";
import { StoreKeys, type StoreState, type TicketStore } from "./store_keys.ts";
import { shownStore } from "./store_master.ts";

/** A source of ticket keys. */
interface TicketSource {
  readonly ring: TicketRing;
  /** Seconds since the key that makes tickets was first used by whoever shares it. */
  readonly age: number;
  /** Call it about once a second. Returns true if the ring has changed. */
  check(): boolean;
  /** Resolves when its helper process has exited. */
  stop?(): Promise<void>;
}

/** What the source of ticket keys depends on. */
export interface TicketPlan {
  readonly config: Reads<
    "sessions.ticketRotation" | "sessions.ticketStore" | "sessions.tickets"
  >;
  readonly ticketSecret?: Uint8Array;
  /** PEM. */
  readonly ticketStoreCa?: string;
  readonly privileges?: Privileges;
}

/** Dependencies of keys from a store. */
export interface TicketStores {
  /** Does not connect yet. */
  open(plan: TicketPlan): TicketStore;
  readonly log: Log;
}

/** The state that is handed over to a new process. */
export interface TicketState {
  readonly local?: LocalState;
  readonly store?: StoreState;
  /** Secrets that make no more tickets, but whose tickets are still accepted. */
  readonly retired: readonly RetiredSecrets[];
}

interface RetiredSecrets {
  readonly secrets: readonly string[];
  /** In seconds of CLOCK_MONOTONIC. */
  readonly until: number;
}

/** The ticket keys of all workers. They outlive workers, generations and upgrades. */
export class Tickets {
  private readonly changed: (ring: TicketRing) => void;
  private readonly now: () => number;
  private readonly stores: TicketStores | undefined;
  private source: TicketSource;
  /** Equal for plans that lead to the same keys. */
  private name: string;
  private period: number;
  private retired: readonly RetiredSecrets[];

  /** `now` returns seconds of CLOCK_MONOTONIC. Without `stores`, plans must not name a store. */
  constructor(
    plan: TicketPlan,
    changed: (ring: TicketRing) => void,
    now: () => number,
    inherited?: TicketState,
    stores?: TicketStores,
  ) {
    this.changed = changed;
    this.now = now;
    this.stores = stores;
    this.name = nameOf(plan);
    this.period = plan.config.sessions.ticketRotation;
    this.source = this.sourceOf(plan, inherited);
    this.retired = inherited?.retired ?? [];
  }

  get ring(): TicketRing {
    return alsoReading(this.source.ring, this.retired.flatMap(({ secrets }) => secrets));
  }

  get state(): TicketState {
    const { source, retired } = this;
    return {
      retired,
      ...(source instanceof LocalKeys ? { local: source.state } : {}),
      ...(source instanceof StoreKeys ? { store: source.state } : {}),
    };
  }

  /** What the status document says about them. */
  get status(): { readonly keyAgeSeconds: number; readonly source: string } {
    const { source } = this;
    const name = source instanceof LocalKeys
      ? "made by this service"
      : source instanceof FleetKeys
      ? "derived from --ticket-secret-file"
      : "from --ticket-store";
    // Another machine's clock may be ahead.
    return { keyAgeSeconds: Math.max(0, source.age), source: name };
  }

  /** Switches to another source; tickets of the previous keys are accepted until they expire. */
  use(plan: TicketPlan): void {
    const name = nameOf(plan);
    if (name === this.name) return;
    this.retired = [
      ...this.retired,
      { secrets: this.source.ring.secrets, until: this.now() + this.period },
    ];
    this.name = name;
    this.period = plan.config.sessions.ticketRotation;
    const { store } = this.state;
    void this.source.stop?.();
    // A fleet has the same keys in another store or with another user.
    this.source = this.sourceOf(plan, store && { store });
    this.changed(this.ring);
  }

  /** Call it about once a second. */
  check(): void {
    const rest = this.retired.filter(({ until }) => this.now() < until);
    const isShorter = rest.length < this.retired.length;
    this.retired = rest;
    if (this.source.check() || isShorter) this.changed(this.ring);
  }

  /** Stops its helper process; the keys stay as they are. */
  async stop(): Promise<void> {
    await this.source.stop?.();
  }

  private sourceOf(
    plan: TicketPlan,
    inherited?: Pick<TicketState, "local" | "store">,
  ): TicketSource {
    const { config: { sessions }, ticketSecret } = plan;
    const { ticketRotation: period, ticketStore } = sessions;
    if (!ticketSecret) return new LocalKeys(period, this.now, inherited?.local);
    const date = () => Date.now() / 1000;
    if (!usesStore(plan)) return new FleetKeys(ticketSecret, period, date);
    const source: TicketSource = new StoreKeys(
      {
        ...{ store: this.stores!.open(plan), log: this.stores!.log },
        ...{ place: shownStore(ticketStore), secret: ticketSecret, period },
        ...{ date, now: this.now },
        changed: () => source === this.source && this.changed(this.ring),
      },
      inherited?.store,
    );
    return source;
  }
}

function usesStore({ config: { sessions } }: TicketPlan): boolean {
  return sessions.tickets && sessions.ticketStore !== "";
}

function nameOf(plan: TicketPlan): string {
  const { config: { sessions }, ticketSecret, ticketStoreCa, privileges } = plan;
  const secret = ticketSecret ? Buffer.from(ticketSecret).toString("base64") : "";
  const store = usesStore(plan)
    ? [sessions.ticketStore, ticketStoreCa, privileges?.uid, privileges?.gid]
    : [];
  return JSON.stringify([sessions.ticketRotation, secret, ...store]);
}
