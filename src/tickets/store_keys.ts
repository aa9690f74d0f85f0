import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { READ, slotAt } from "./fleet_keys.ts";
import { LocalKeys, type LocalState } from "./local_keys.ts";
import { randomSecret, type TicketRing } from "./ring.ts";
import { StoreEntries } from "./store_entries.ts";

/** A server that keeps entries for some time, for all machines. */
export interface TicketStore {
  /** The entries' values, undefined where there is none. Rejected with an Error. */
  get(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Rejected with an Error. */
  set(entries: readonly StoreEntry[]): Promise<void>;
  /** For good; what is under way may be rejected. Fulfilled when nothing of it is left. */
  stop(): Promise<void>;
}

export interface StoreEntry {
  readonly name: string;
  readonly value: Uint8Array;
  /** Milliseconds until the store forgets it. */
  readonly ttl: number;
  /** It takes no other's place. */
  readonly onlyNew: boolean;
}

export interface StoreDependencies {
  readonly store: TicketStore;
  /** The store's name in the log. */
  readonly place: string;
  /** The fleet's. */
  readonly secret: Uint8Array;
  /** Seconds. */
  readonly period: number;
  /** Seconds since 1970. */
  readonly date: () => number;
  /** Seconds of CLOCK_MONOTONIC. */
  readonly now: () => number;
  /** The ring has changed between two calls of `check`. */
  readonly changed: () => void;
  readonly log: Log;
}

/** What a successor goes on with. */
export interface StoreState {
  /** What the names of its entries begin with: other keys are of no use. */
  readonly prefix: string;
  readonly keys: readonly (readonly [slot: number, secret: string])[];
  readonly retired: readonly RetiredSecret[];
  readonly local?: LocalState;
}

interface RetiredSecret {
  readonly secret: string;
  /** A second of CLOCK_MONOTONIC. */
  readonly until: number;
}

/** Seconds between two looks at the store at the most. */
const LOOK = 10;
/** So many in each period: a key that another machine replaced is to be known soon. */
const LOOKS = 10;
/** Seconds from one line about a store that fails to the next at the least. */
const QUIET = 60;
/** A store that changes its entries all the time fills no memory. */
const MAX_RETIRED = 16;
/** To write what is missing, and to replace what was there and yet is no entry. */
const ATTEMPTS = 2;

/**
 * Random keys that machines share through a store, one for each time slot of {@link READ}. Whoever
 * finds none for a slot makes it, and the store takes the first one only. Without the store the last
 * key goes on making tickets; a machine that never had one makes its own.
 */
export class StoreKeys {
  private readonly dependencies: StoreDependencies;
  private readonly entries: StoreEntries;
  /** By slot: those of {@link READ} that are known, and the one that makes tickets. */
  private readonly keys: Map<number, string>;
  private retired: readonly RetiredSecret[];
  /** While the store has given no key. */
  private local: LocalKeys | undefined;
  /** The store's key that makes tickets. */
  private maker: string | undefined;
  private known: TicketRing;
  private lookedAt = -Infinity;
  private isLooking = false;
  private isStopped = false;
  private told: "answers" | "fails" | undefined;
  private failureToldAt = -Infinity;
  /** Slots whose entry was found to be none. */
  private garbage = new Set<number>();

  /** Keys from `inherited` are taken over if they are the same fleet's. */
  constructor(dependencies: StoreDependencies, inherited?: StoreState) {
    this.dependencies = dependencies;
    this.entries = new StoreEntries(dependencies.secret, dependencies.period);
    const state = inherited?.prefix === this.entries.prefix ? inherited : undefined;
    this.keys = new Map(state?.keys);
    this.retired = state?.retired ?? [];
    if (state?.local) this.local = this.localKeys(state.local);
    this.known = this.ringNow();
  }

  get ring(): TicketRing {
    return this.known;
  }

  get state(): StoreState {
    return {
      prefix: this.entries.prefix,
      keys: [...this.keys],
      retired: this.retired,
      ...(this.local ? { local: this.local.state } : {}),
    };
  }

  /** To be called about once a second. True when the ring has changed. */
  check(): boolean {
    const { now, period } = this.dependencies;
    const isDue = now() - this.lookedAt >= Math.min(LOOK, period / LOOKS);
    if (isDue && !this.isLooking && !this.isStopped) void this.look();
    return this.refresh();
  }

  /** Asks the store nothing more. Fulfilled when nothing of it is left. */
  stop(): Promise<void> {
    this.isStopped = true;
    return this.dependencies.store.stop();
  }

  private async look(): Promise<void> {
    this.isLooking = true;
    this.lookedAt = this.dependencies.now();
    let failure: string | undefined;
    try {
      await this.converge();
    } catch (error) {
      failure = reasonOf(error);
    }
    this.isLooking = false;
    if (this.isStopped) return;
    // Who reads that the store answers may count on its keys.
    if (this.refresh()) this.dependencies.changed();
    if (failure === undefined) this.tellAnswer();
    else this.tellFailure(failure);
  }

  /** Takes over what the store has, and writes what it lacks. Rejected with an Error. */
  private async converge(): Promise<void> {
    const present = this.present();
    const slots = READ.map((offset) => present + offset);
    for (const slot of this.garbage) if (!slots.includes(slot)) this.garbage.delete(slot);
    let faults = await this.read(slots);
    for (let attempt = 1; attempt <= ATTEMPTS && faults.length > 0; attempt++) {
      await this.dependencies.store.set(faults.map(({ slot, isMissing }) => ({
        name: this.entries.nameOf(slot),
        value: this.entries.seal(slot, this.keys.get(slot) ?? randomSecret()),
        ttl: this.lifeOf(slot),
        // Another machine may have been faster; an empty text looks as if it were missing.
        onlyNew: isMissing && attempt < ATTEMPTS,
      })));
      faults = await this.read(faults.map(({ slot }) => slot));
    }
    if (faults.length > 0) throw new Error("it does not keep what is written");
  }

  /** The slots whose entry is to be written: nobody needs a new key for one that is over. */
  private async read(slots: readonly number[]): Promise<{ slot: number; isMissing: boolean }[]> {
    const values = await this.dependencies.store.get(
      slots.map((slot) => this.entries.nameOf(slot)),
    );
    return slots.flatMap((slot, i) => {
      const value = values[i];
      const secret = value && this.entries.open(slot, value);
      if (secret !== undefined) {
        this.keys.set(slot, secret);
        return [];
      }
      const isMissing = value === undefined;
      if (!isMissing) this.tellGarbage(slot);
      return slot >= this.present() || this.keys.has(slot) ? [{ slot, isMissing }] : [];
    });
  }

  /** In milliseconds; until no ticket of the slot is read any more. */
  private lifeOf(slot: number): number {
    const { period, date } = this.dependencies;
    return Math.max(1, Math.ceil(((slot + 1 - READ[0]!) * period - date()) * 1000));
  }

  private present(): number {
    return slotAt(this.dependencies.date(), this.dependencies.period);
  }

  /** Makes the ring from what is known now. True when it is another one. */
  private refresh(): boolean {
    this.local?.check();
    const ring = this.ringNow();
    const isOther = JSON.stringify(ring) !== JSON.stringify(this.known);
    this.known = ring;
    return isOther;
  }

  private ringNow(): TicketRing {
    const newest = this.newestSlot();
    const maker = newest === undefined ? undefined : this.keys.get(newest)!;
    if (this.maker !== undefined && this.maker !== maker) this.retire([this.maker]);
    this.maker = maker;
    if (maker === undefined) {
      this.local ??= this.localKeys();
    } else if (this.local) {
      this.retire(this.local.ring.secrets);
      this.local = undefined;
    }
    this.retired = this.retired.filter(({ until }) => until > this.dependencies.now());
    const local = this.local?.ring ?? { secrets: [], current: 0 };
    const secrets = [
      ...new Set([
        ...this.keys.values(),
        ...local.secrets,
        ...this.retired.map(({ secret }) => secret),
      ]),
    ];
    return { secrets, current: secrets.indexOf(maker ?? local.secrets[local.current]!) };
  }

  /** The slot whose key makes tickets, if one is known; keys that nobody needs any more are forgotten. */
  private newestSlot(): number | undefined {
    const present = this.present();
    const slots = [...this.keys.keys()];
    const begun = slots.filter((slot) => slot <= present);
    const newest = begun.length > 0 ? Math.max(...begun) : undefined;
    for (const slot of slots) {
      if (slot !== newest && !READ.includes(slot - present)) this.keys.delete(slot);
    }
    return newest;
  }

  /** They make no more tickets, and read them for as long as those live. */
  private retire(secrets: readonly string[]): void {
    const until = this.dependencies.now() + this.dependencies.period;
    const others = this.retired.filter(({ secret }) => !secrets.includes(secret));
    this.retired = [...others, ...secrets.map((secret) => ({ secret, until }))].slice(
      -MAX_RETIRED,
    );
  }

  private localKeys(state?: LocalState): LocalKeys {
    return new LocalKeys(this.dependencies.period, this.dependencies.now, state);
  }

  private tellAnswer(): void {
    if (this.told === "answers") return;
    const { place, log } = this.dependencies;
    const message = this.told
      ? `the ticket store ${place} answers again`
      : `ticket keys are shared through the ticket store ${place}`;
    this.told = "answers";
    log({ level: "info", event: "ticket-store-answers", message, facts: { store: place } });
  }

  /** A store that comes and goes is told of once in a while. */
  private tellFailure(cause: string): void {
    const { now, place, log } = this.dependencies;
    if (this.told === "fails" || now() - this.failureToldAt < QUIET) return;
    this.told = "fails";
    this.failureToldAt = now();
    const consequence = this.local
      ? "this machine makes ticket keys of its own, by which no other knows its clients"
      : "the ticket keys that are known go on being used and do not change";
    const message = `the ticket store ${place} fails (${cause}); until it answers, ${consequence}`;
    log({ level: "warn", event: "ticket-store-fails", message, facts: { store: place, cause } });
  }

  private tellGarbage(slot: number): void {
    if (this.garbage.has(slot)) return;
    this.garbage.add(slot);
    const { place, log } = this.dependencies;
    const entry = this.entries.nameOf(slot);
    const message = `the entry ${entry} of the ticket store ${place} is no key that was sealed ` +
      "with our --ticket-secret-file; it is not used, and replaced where it is needed: find out " +
      "who wrote it";
    log({ level: "warn", event: "ticket-store-garbage", message, facts: { store: place, entry } });
  }
}
