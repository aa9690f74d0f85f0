import type { Log } from "../../base/log_entry.ts";
import { formatEndpoint } from "../../options/address.ts";
import type { Reads } from "../../options/config.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import { ipFamily } from "../../os/ip.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { resolve } from "../../system/resolve.ts";

export type BackendNameSettings = Reads<"backend" | "backendRefresh">;

/** Minimum time between two lookups after failures, in milliseconds. */
const MIN_PAUSE_MS = 5000;

/** Resolves the backend's name again, at an interval and after failures. */
export class BackendName {
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly changed: (backend: Endpoint) => void;
  private readonly clock: Clock;
  private readonly resolve: typeof resolve;
  private lookUp: (() => Promise<Endpoint>) | undefined;
  /** The lookup in progress. */
  private pending: (() => Promise<Endpoint>) | undefined;
  private backend = "";
  private failure: string | undefined;
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

  /** Why the name could not be resolved the last time; undefined: it could. */
  get unresolved(): string | undefined {
    return this.failure;
  }

  /** Watches this backend instead of the previous one. */
  watch(config: BackendNameSettings, backend: Endpoint): void {
    this.stop();
    this.failure = undefined;
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

  /** The backend could not be reached; it may have a new address. */
  failed(): void {
    if (this.clock.now() - this.lookedUpAt >= MIN_PAUSE_MS) this.refresh();
  }

  /** A name that cannot be resolved keeps its last address, which is logged once. */
  private async refresh(): Promise<void> {
    const { lookUp } = this;
    // Of two concurrent lookups the older answer could come last.
    if (!lookUp || lookUp === this.pending) return;
    this.pending = lookUp;
    this.lookedUpAt = this.clock.now();
    let found: Endpoint;
    try {
      found = await lookUp();
    } catch (error) {
      if (lookUp !== this.lookUp) return;
      const isFirst = this.failure === undefined;
      const cause = this.failure = (error as Error).message;
      if (!isFirst) return;
      const message = `${cause}; ${this.backend} stays in use`;
      const facts = { source: "backend", code: "backend-unresolved", cause };
      this.log({ level: "warn", event: "backend-unresolved", message, facts });
      return;
    } finally {
      if (this.pending === lookUp) this.pending = undefined;
    }
    // The configuration has changed meanwhile.
    if (lookUp !== this.lookUp) return;
    const wasFailing = this.failure !== undefined;
    this.failure = undefined;
    const backend = formatEndpoint(found);
    if (backend === this.backend) {
      if (!wasFailing) return;
      const message = `the backend's name resolves again, to ${backend} as before`;
      this.log({ level: "info", event: "backend-resolved", message, facts: { backend } });
      return;
    }
    const message = `the backend's name has a new address: ${backend}, formerly ${this.backend}`;
    this.log({ level: "info", event: "backend-moved", message, facts: { backend } });
    this.backend = backend;
    this.changed(found);
  }
}
