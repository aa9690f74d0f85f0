import { connectionsText } from "../../base/count_text.ts";
import type { Log } from "../../base/log_entry.ts";
import type { Generation } from "./generation.ts";

/**
 * The generations of workers that are running: the current one, which accepts connections, the next
 * one while it starts, and older ones, which drain.
 */
export class Generations {
  /** Called when an older one has ended, so that another one can begin. */
  onRoom: () => void = () => {};
  current: Generation | undefined;
  /** The one that is starting. */
  next: Generation | undefined;
  private readonly log: Log;
  private readonly older = new Set<Generation>();
  private resolveEnd: (() => void) | undefined;

  constructor(log: Log) {
    this.log = log;
  }

  /** The number of the next one; the first is 1. */
  get nextNumber(): number {
    return this.number + 1;
  }

  /** All that can have connections. */
  get serving(): Generation[] {
    return [...this.older, ...this.current ? [this.current] : []];
  }

  /** The same and the next one. */
  get living(): Generation[] {
    return [...this.serving, ...this.next ? [this.next] : []];
  }

  /** Whether another one would not exceed `max`. */
  hasRoom(max: number): boolean {
    return this.older.size + 2 <= max;
  }

  /** The current one's number, the number of older ones, and the connections of these. */
  census(): { readonly generation: number; readonly older: number; readonly connections: number } {
    const connections = [...this.older].reduce((sum, { open }) => sum + open, 0);
    return { generation: this.number, older: this.older.size, connections };
  }

  /** Makes this the current one. */
  succeed(generation: Generation): void {
    if (this.current) this.older.add(this.current);
    this.current = generation;
  }

  /**
   * Drains an older one, and cuts its connections after `limit` seconds; 0 is no limit. Fulfilled
   * when its workers accept no more.
   */
  async drain(generation: Generation, limit: number): Promise<void> {
    await generation.drain();
    if (limit === 0) return;
    setTimeout(() => {
      if (generation.isEmpty) return;
      const { number, open } = generation;
      const message = `generation ${number} still has ${connectionsText(open)} after ${limit} s, ` +
        `cutting ${open === 1 ? "it" : "them"} (--reload-drain-timeout)`;
      const facts = { generation: number, connections: open };
      this.log({ level: "warn", event: "generation-cut", message, facts });
      generation.cut();
    }, limit * 1000).unref();
  }

  /**
   * Keeps one that could not be started while its workers still have connections: they accept no
   * more, and are cut as by {@link drain}.
   */
  failed(generation: Generation, limit: number): void {
    if (generation.isEmpty) return;
    this.older.add(generation);
    void this.drain(generation, limit);
  }

  /** Fulfilled when the last worker has exited. `onRoom` is called no more. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      this.resolveEnd = resolve;
      this.checkEnd();
    });
  }

  /** To be called when a generation's last worker has exited. */
  emptied(generation: Generation): void {
    if (this.older.delete(generation) && !this.resolveEnd) {
      const { number } = generation;
      const message = `generation ${number} has ended: its last connection has closed`;
      const facts = { generation: number };
      this.log({ level: "info", event: "generation-ended", message, facts });
      this.onRoom();
    }
    this.checkEnd();
  }

  /** The current one's; 0 before the first. */
  private get number(): number {
    return this.current?.number ?? 0;
  }

  private checkEnd(): void {
    const areEmpty = [this.current, this.next].every((each) => each?.isEmpty ?? true);
    if (areEmpty && this.older.size === 0) this.resolveEnd?.();
  }
}

/** Text about the older generations, for the end of a message; empty if they have no connections. */
export function olderText(older: number, connections: number): string {
  if (older === 0 || connections === 0) return "";
  const subject = older === 1
    ? "an older generation still has"
    : `${older} older generations still have`;
  return `; ${subject} ${connectionsText(connections)}`;
}
