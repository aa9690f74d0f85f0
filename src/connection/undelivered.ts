import { raise } from "../base/raise.ts";
import { type Clock, systemClock } from "../base/clock.ts";

/** Milliseconds between two checks, each of which costs a system call for each holder. */
const INTERVAL_MS = 50;

/** Something that ends once its peer has received what was written. */
export interface DeliveryHolder {
  /** Ends if everything is delivered. */
  checkDelivery(): void;
}

/** Waits for slow peers, whose kernel reports no event when it has acknowledged the last byte. */
export class Undelivered<T extends DeliveryHolder> {
  private readonly holders = new Set<T>();
  private readonly clock: Clock;
  private isScheduled = false;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  start(holder: T): void {
    this.holders.add(holder);
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.clock.after(INTERVAL_MS, this.check);
  }

  stop(holder: T): void {
    this.holders.delete(holder);
  }

  private readonly check = (): void => {
    this.isScheduled = false;
    for (const holder of this.holders) {
      try {
        holder.checkDelivery();
      } catch (error) {
        raise(error);
      }
    }
    const [next] = this.holders;
    if (next) this.start(next);
  };
}
