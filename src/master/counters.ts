/** What the master counts itself, and the names that workers count separately. */
import type { CountedSeries, CounterFamily } from "../base/counters.ts";
import { type CountedNames, OTHER } from "../connection/counters.ts";
import { displayAddress } from "../options/address.ts";
import type { Reads } from "../options/config.ts";

/** Frontends that are counted separately until the service ends, whatever reloads change. */
export const MAX_FRONTENDS = 64;
/** The same for ALPN protocols. */
export const MAX_PROTOCOLS = 16;

export const EXIT_REASONS = ["requested", "error", "signal", "watchdog"] as const;

export const MASTER_FAMILIES: readonly CounterFamily[] = [
  {
    name: "worker_starts_total",
    help: "Worker processes started.",
    labels: {},
    showsZeros: true,
  },
  {
    name: "worker_exits_total",
    help:
      "Worker processes that have exited: as requested, by an error of their own, by a signal, " +
      "or killed by the watchdog.",
    labels: { reason: EXIT_REASONS },
    showsZeros: true,
  },
];

/** Chooses what is counted separately, in the order of appearance; the rest is `other`. */
export class SeparateNames {
  private readonly frontends: Set<string>;
  private readonly alpn: Set<string>;

  /** `inherited` are the numbers of a predecessor, whose names stay. */
  constructor(inherited: readonly CountedSeries[] = []) {
    const names = (family: string, label: string) =>
      new Set(
        inherited.flatMap(({ name, labels }) => name === family ? labels[label] ?? [] : [])
          .filter((value) => !NO_NAMES.includes(value)),
      );
    this.frontends = names("connections_accepted_total", "frontend");
    this.alpn = names("handshakes_total", "alpn");
  }

  /** Returns the names that the workers of a configuration count. */
  of(config: Reads<"frontends">, alpn: readonly string[]): CountedNames {
    const frontends = config.frontends.map(({ listen }) => displayAddress(listen));
    return {
      frontends: frontends.map((name) => admit(this.frontends, name, MAX_FRONTENDS)),
      alpn: [...new Set(alpn)].filter((name) =>
        admit(this.alpn, name, MAX_PROTOCOLS) === name && !NO_NAMES.includes(name)
      ),
    };
  }
}

const NO_NAMES = ["none", OTHER];

function admit(names: Set<string>, name: string, max: number): string {
  if (names.has(name)) return name;
  if (names.size >= max || NO_NAMES.includes(name)) return OTHER;
  names.add(name);
  return name;
}
