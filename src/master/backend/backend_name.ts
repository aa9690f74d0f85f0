import type { Log } from "../../base/log_entry.ts";
import { formatEndpoint } from "../../options/address.ts";
import type { Reads } from "../../options/config.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { ipFamily } from "../../os/ip.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { resolve } from "../../system/resolve.ts";

export type BackendNameSettings = Reads<"backend" | "backendRefresh">;

/** A backend that fails again and again has its name looked up this often, in milliseconds. */
const MIN_PAUSE_MS = 5000;

/** Looks the backend's name up again, every so often and after failures. */
export class BackendName {
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly changed: (backend: Endpoint) => void;
  private readonly clock: Clock;
  private readonly resolve: typeof resolve;
  private lookUp: (() => Promise<Endpoint>) | undefined;
  /** One that has not been answered yet. */
  private underWay: (() => Promise<Endpoint>) | undefined;
  private backend = "";
  private isFailing = false;
  private lookedUpAt = 0;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    libc: Libc,
    log: Log,
    changed: (backend: Endpoint) => void,
    clock: Clock = systemClock,
    resolver: typeof resolve = resolve,
  ) {
    this.libc = libc;
    this.log = log;
    this.changed = changed;
    this.clock = clock;
    this.resolve = resolver;
  }

  /** Forgets what it watched before. */
  watch(config: BackendNameSettings, backend: Endpoint): void {
    this.stop();
    this.isFailing = false;
    const address = config.backend;
    this.backend = formatEndpoint(backend);
    if ("path" in address || ipFamily(address.host) !== 0) return;
    this.lookUp = async () => (await this.resolve(this.libc, address, "--backend"))[0]!;
    this.lookedUpAt = this.clock.now();
    if (config.backendRefresh === 0) return;
    this.timer = setInterval(() => this.refresh(), config.backendRefresh * 1000);
  }

  stop(): void {
    clearInterval(this.timer);
    this.lookUp = undefined;
  }

  /** The backend could not be reached: perhaps it has moved. */
  failed(): void {
    if (this.clock.now() - this.lookedUpAt >= MIN_PAUSE_MS) this.refresh();
  }

  /** A name that cannot be resolved just now keeps its last address, which is told once. */
  private async refresh(): Promise<void> {
    const { lookUp } = this;
    // An answer that another one has overtaken would bring back what was true before.
    if (!lookUp || lookUp === this.underWay) return;
    this.underWay = lookUp;
    this.lookedUpAt = this.clock.now();
    let found: Endpoint;
    try {
      found = await lookUp();
    } catch (error) {
      if (this.isFailing || lookUp !== this.lookUp) return;
      this.isFailing = true;
      const cause = (error as Error).message;
      const message = `${cause}; ${this.backend} stays in use`;
      const facts = { source: "backend", code: "backend-unresolved", cause };
      this.log({ level: "warn", event: "backend-unresolved", message, facts });
      return;
    } finally {
      if (this.underWay === lookUp) this.underWay = undefined;
    }
    // Another configuration has come meanwhile.
    if (lookUp !== this.lookUp) return;
    const wasFailing = this.isFailing;
    this.isFailing = false;
    const backend = formatEndpoint(found);
    if (backend === this.backend) {
      if (!wasFailing) return;
      const message = `the backend's name is resolved again, to ${backend} as before`;
      this.log({ level: "info", event: "backend-resolved", message, facts: { backend } });
      return;
    }
    const message = `the backend's name has a new address: ${backend}, no longer ${this.backend}`;
    this.log({ level: "info", event: "backend-moved", message, facts: { backend } });
    this.backend = backend;
    this.changed(found);
  }
}
