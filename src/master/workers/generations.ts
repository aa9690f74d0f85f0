import type { Log } from "../../base/log_entry.ts";
import type { Generation } from "./generation.ts";

/**
 * Which generations of workers live: the current one, which takes new connections, the next one
 * while it starts, and older ones, which serve the connections that they have.
 */
export class Generations {
  /** Called when an older one has ended, so that another one may begin. */
  onRoom: () => void = () => {};
  current: Generation | undefined;
  /** Not yet serving. */
  next: Generation | undefined;
  private readonly log: Log;
  private readonly older = new Set<Generation>();
  private allEnded: (() => void) | undefined;

  constructor(log: Log) {
    this.log = log;
  }

  /** What the next one is called; the first is 1. */
  get nextNumber(): number {
    return this.number + 1;
  }

  /** All that may have connections. */
  get serving(): Generation[] {
    return [...this.older, ...this.current ? [this.current] : []];
  }

  /** Also the next one. */
  get living(): Generation[] {
    return [...this.serving, ...this.next ? [this.next] : []];
  }

  /** Whether one more than those of now is no more than `most`. */
  hasRoom(most: number): boolean {
    return this.older.size + 2 <= most;
  }

  /** The current one's number, how many older ones live, and their connections. */
  census(): { readonly generation: number; readonly older: number; readonly connections: number } {
    const connections = [...this.older].reduce((sum, { open }) => sum + open, 0);
    return { generation: this.number, older: this.older.size, connections };
  }

  /** This one is the current one from now on. */
  succeed(generation: Generation): void {
    if (this.current) this.older.add(this.current);
    this.current = generation;
  }

  /**
   * An older one leaves with its last connections, or after so many seconds; 0 is no limit.
   * Fulfilled when its workers accept no more.
   */
  async retire(generation: Generation, limit: number): Promise<void> {
    await generation.drain();
    if (limit === 0) return;
    setTimeout(() => {
      if (generation.isEmpty) return;
      const { number, open } = generation;
      const message = `generation ${number} had ${limit} s to end; the ${open} connections that ` +
        "it still has are cut (--reload-drain-timeout)";
      const facts = { generation: number, connections: open };
      this.log({ level: "warn", event: "generation-cut", message, facts });
      generation.cut();
    }, limit * 1000).unref();
  }

  /** No other one begins. Fulfilled when the last worker is gone. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      this.allEnded = resolve;
      this.look();
    });
  }

  /** This one's last worker is gone. */
  emptied(generation: Generation): void {
    if (this.older.delete(generation) && !this.allEnded) {
      const { number } = generation;
      const message = `the last connection of generation ${number} has ended`;
      const facts = { generation: number };
      this.log({ level: "info", event: "generation-ended", message, facts });
      this.onRoom();
    }
    this.look();
  }

  /** The current one's; 0 before the first. */
  private get number(): number {
    return this.current?.number ?? 0;
  }

  private look(): void {
    const isOver = [this.current, this.next].every((each) => each?.isEmpty ?? true);
    if (isOver && this.older.size === 0) this.allEnded?.();
  }
}
