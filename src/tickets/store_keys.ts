import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log_entry.ts";
import { READ, slotAt } from "./fleet_keys.ts";
import { LocalKeys, type LocalState } from "./local_keys.ts";
import { randomSecret, type TicketRing } from "./ring.ts";
import { StoreEntries } from "./store_entries.ts";

/** A server that stores entries with an expiry, for all machines. */
export interface TicketStore {
  /** Returns the entries' values, undefined for a missing entry. Rejects with an Error. */
  get(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** Rejects with an Error. */
  set(entries: readonly StoreEntry[]): Promise<void>;
  /** Stops permanently; pending calls may reject. Resolves when its process has exited. */
  stop(): Promise<void>;
}

export interface StoreEntry {
  readonly name: string;
  readonly value: Uint8Array;
  /** Milliseconds until it expires in the store. */
  readonly ttl: number;
  /** It does not replace an existing entry. */
  readonly onlyNew: boolean;
}

export interface StoreDependencies {
  readonly store: TicketStore;
  /** The store's name in the log. */
  readonly place: string;
  /** The fleet's secret. */
  readonly secret: Uint8Array;
  /** Seconds. */
  readonly period: number;
  /** Seconds since 1970. */
  readonly date: () => number;
  /** Seconds of CLOCK_MONOTONIC. */
  readonly now: () => number;
  /** Called if the ring changes between two calls of `check`. */
  readonly changed: () => void;
  readonly log: Log;
}

/** The state that is handed over to a new process. */
export interface StoreState {
  /** The prefix of the entries' names: keys with another prefix are useless. */
  readonly prefix: string;
  readonly keys: readonly (readonly [slot: number, secret: string])[];
  readonly retired: readonly RetiredSecret[];
  readonly local?: LocalState;
}

interface RetiredSecret {
  readonly secret: string;
  /** In seconds of CLOCK_MONOTONIC. */
  readonly until: number;
}

/** Maximum seconds between two polls of the store. */
const LOOK = 10;
/** Minimum number of polls in each period, to learn soon of a key that another machine replaced. */
const LOOKS = 10;
/** Minimum seconds between two log lines about a failing store. */
const QUIET = 60;
/** Maximum number of retired keys, in case the store changes its entries all the time. */
const MAX_RETIRED = 16;
/** One attempt writes missing entries, the other replaces invalid ones. */
const ATTEMPTS = 2;

/**
 * Random keys that machines share through a store, one for each time slot of {@link READ}. A
 * machine that finds no key for a slot makes one, and the store accepts only the first. While the
 * store fails, the last key stays in use; a machine that never had one makes its own.
 */
export class StoreKeys {
  private readonly dependencies: StoreDependencies;
  private readonly entries: StoreEntries;
  /** By slot: the known keys of {@link READ}, and the key that makes tickets. */
  private readonly keys: Map<number, string>;
  private retired: readonly RetiredSecret[];
  /** This machine's own keys, until the store has returned one. */
  private local: LocalKeys | undefined;
  /** The store's key that makes tickets. */
  private maker: string | undefined;
  private known: TicketRing;
  private lookedAt = -Infinity;
  private isLooking = false;
  private isStopped = false;
  private reported: "answers" | "fails" | undefined;
  private failureLoggedAt = -Infinity;
  /** Slots whose entry in the store is invalid. */
  private garbage = new Set<number>();

  /** Keys from `inherited` are used if they belong to the same fleet. */
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

  /** Seconds since the time slot of the key that makes tickets began, or of this machine's own. */
  get age(): number {
    const { dependencies: { date, period }, maker, local } = this;
    if (local || maker === undefined) return local?.age ?? 0;
    const slot = [...this.keys].find(([, secret]) => secret === maker)?.[0] ?? this.present();
    return date() - slot * period;
  }

  get state(): StoreState {
    return {
      prefix: this.entries.prefix,
      keys: [...this.keys],
      retired: this.retired,
      ...(this.local ? { local: this.local.state } : {}),
    };
  }

  /** Call it about once a second. Returns true if the ring has changed. */
  check(): boolean {
    const { now, period } = this.dependencies;
    const isDue = now() - this.lookedAt >= Math.min(LOOK, period / LOOKS);
    if (isDue && !this.isLooking && !this.isStopped) void this.look();
    return this.refresh();
  }

  /** Stops using the store. Resolves when its process has exited. */
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
    // When the log says that the store answers, its keys must be in use.
    if (this.refresh()) this.dependencies.changed();
    if (failure === undefined) this.logAnswer();
    else this.logFailure(failure);
  }

  /** Reads the store's keys and writes missing ones. Rejects with an Error. */
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
        // Another machine may have been faster; an empty value looks like a missing one.
        onlyNew: isMissing && attempt < ATTEMPTS,
      })));
      faults = await this.read(faults.map(({ slot }) => slot));
    }
    if (faults.length > 0) throw new Error("it does not keep what is written");
  }

  /** Returns the slots whose entries must be written; past slots need no new key. */
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
      if (!isMissing) this.logGarbage(slot);
      return slot >= this.present() || this.keys.has(slot) ? [{ slot, isMissing }] : [];
    });
  }

  /** Returns the milliseconds until no ticket of the slot is accepted any more. */
  private lifeOf(slot: number): number {
    const { period, date } = this.dependencies;
    return Math.max(1, Math.ceil(((slot + 1 - READ[0]!) * period - date()) * 1000));
  }

  private present(): number {
    return slotAt(this.dependencies.date(), this.dependencies.period);
  }

  /** Computes the ring. Returns true if it has changed. */
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

  /**
   * Returns the slot whose key makes tickets, if one is known. Drops keys that are no longer
   * needed.
   */
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

  /** These secrets make no more tickets; their tickets are accepted until they expire. */
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

  private logAnswer(): void {
    if (this.reported === "answers") return;
    const { place, log } = this.dependencies;
    const message = this.reported
      ? `the ticket store ${place} answers again`
      : `ticket keys are shared through the ticket store ${place}`;
    this.reported = "answers";
    log({ level: "info", event: "ticket-store-answers", message, facts: { store: place } });
  }

  /** Logs a failure, at most once in {@link QUIET} seconds. */
  private logFailure(cause: string): void {
    const { now, place, log } = this.dependencies;
    if (this.reported === "fails" || now() - this.failureLoggedAt < QUIET) return;
    this.reported = "fails";
    this.failureLoggedAt = now();
    const consequence = this.local
      ? "this machine makes its own ticket keys, so other machines cannot resume its sessions"
      : "the known ticket keys stay in use and do not rotate";
    const message = `the ticket store ${place} fails (${cause}); until it answers, ${consequence}`;
    log({ level: "warn", event: "ticket-store-fails", message, facts: { store: place, cause } });
  }

  private logGarbage(slot: number): void {
    if (this.garbage.has(slot)) return;
    this.garbage.add(slot);
    const { place, log } = this.dependencies;
    const entry = this.entries.nameOf(slot);
    const message = `the entry ${entry} of the ticket store ${place} is not a key sealed ` +
      "with this --ticket-secret-file; it is ignored, and replaced if it is needed; find out " +
      "who wrote it";
    log({ level: "warn", event: "ticket-store-garbage", message, facts: { store: place, entry } });
  }
}
