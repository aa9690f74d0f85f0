/** Opens connections to one server: finds its address first. */
import { lookup } from "node:dns/promises";
import { ipFamily, splitZone } from "../os/ip.ts";
import { CheckFault } from "./fault.ts";
import type { Target } from "./target.ts";
import { type Place, Wire } from "./wire.ts";

/** Connections that are open at once. */
const MAX_OPEN = 4;

export class Connector {
  /** The address that answered, for people. */
  readonly address: string;
  /** All addresses of the name. */
  readonly addresses: readonly string[];
  /** Addresses that were tried before, with the reason. */
  readonly unreachable: readonly { readonly address: string; readonly reason: string }[];
  /** In milliseconds; absent if there was no name to look up. */
  readonly resolveMs?: number;
  readonly connectMs: number;
  /** Of one step, in milliseconds. */
  readonly limit: number;
  private readonly place: Place;
  private first: Wire | undefined;
  private open = 0;
  private readonly waiting: (() => void)[] = [];

  /** Connects to the first address that answers. Rejects with a CheckFault. */
  static async find({ place }: Target, limit: number): Promise<Connector> {
    const start = performance.now();
    const isName = "host" in place && ipFamily(splitZone(place.host).address) === 0;
    const addresses = "path" in place
      ? [place.path]
      : isName
      ? await resolve(place.host, limit)
      : [place.host];
    const resolveMs = isName ? { resolveMs: performance.now() - start } : {};
    const unreachable: { address: string; reason: string }[] = [];
    let fault: unknown;
    for (const address of addresses) {
      const own: Place = "path" in place ? place : { host: address, port: place.port };
      const begun = performance.now();
      try {
        const wire = await Wire.open(own, limit);
        const connectMs = performance.now() - begun;
        const facts = { address, addresses, unreachable, connectMs, ...resolveMs };
        return new Connector(own, limit, wire, facts);
      } catch (error) {
        if (!(error instanceof CheckFault)) throw error;
        fault ??= error;
        unreachable.push({ address, reason: error.message });
      }
    }
    throw fault;
  }

  private constructor(
    place: Place,
    limit: number,
    first: Wire,
    facts: Pick<Connector, "address" | "addresses" | "unreachable" | "connectMs" | "resolveMs">,
  ) {
    this.place = place;
    this.limit = limit;
    this.first = first;
    this.address = facts.address;
    this.addresses = facts.addresses;
    this.unreachable = facts.unreachable;
    this.connectMs = facts.connectMs;
    if (facts.resolveMs !== undefined) this.resolveMs = facts.resolveMs;
  }

  /** Runs `use` on a new connection, which is closed afterwards. Waits while many are open. */
  async run<T>(use: (wire: Wire) => Promise<T>): Promise<T> {
    if (this.open >= MAX_OPEN) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.open++;
    const wire = this.first ?? await Wire.open(this.place, this.limit).catch((error) => {
      this.free();
      throw error;
    });
    this.first = undefined;
    try {
      return await use(wire);
    } finally {
      wire.destroy();
      this.free();
    }
  }

  private free(): void {
    this.open--;
    this.waiting.shift()?.();
  }
}

async function resolve(host: string, limit: number): Promise<string[]> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    const text = `cannot resolve ${host}: no DNS server answered after ${limit / 1000} s`;
    timer = setTimeout(() => reject(new CheckFault("unresolved", text)), limit);
  });
  try {
    const found = await Promise.race([lookup(host, { all: true }), late]);
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    if (error instanceof CheckFault) throw error;
    const { code = "unknown error" } = error as NodeJS.ErrnoException;
    const reason = code === "ENOTFOUND" ? "the name is unknown" : code;
    throw new CheckFault("unresolved", `cannot resolve ${host}: ${reason}`);
  } finally {
    clearTimeout(timer);
  }
}
