/** What stud holds of the machine: descriptors and memory, before a fault and after it. */
import { anonymousMemory, descriptorCount, socketCount } from "../support/processes.ts";

const MIB = 1024 * 1024;

/**
 * How much the master may have grown, in bytes. A reload reads and parses everything again, and a
 * JavaScript heap keeps some of what it once had.
 */
export const MASTER_GROWTH = 24 * MIB;

/**
 * How much a worker may be above the largest worker before, in bytes. Before, each was warmed by
 * the same load: what is left are heaps which the collector has not made smaller yet.
 */
export const WORKER_GROWTH = 32 * MIB;

/** How long stud may take to come back to its footprint after the load has ended, in ms. */
export const SETTLE_LIMIT = 30_000;

/** Of one process; memory in bytes. */
export interface Usage {
  readonly descriptors: number;
  readonly sockets: number;
  readonly memory: number;
}

export interface Footprint {
  readonly master: Usage;
  /** In the order of their slots. */
  readonly workers: readonly Usage[];
}

export function footprintOf(master: number, workers: readonly number[]): Footprint {
  return { master: usageOf(master), workers: workers.map(usageOf) };
}

/** What is above the bounds, one text for each; none when all is as it was. */
export function excess(before: Footprint, after: Footprint): string[] {
  const largest = (part: keyof Usage) => Math.max(...before.workers.map((each) => each[part]));
  const bounds: Usage = {
    descriptors: largest("descriptors"),
    sockets: largest("sockets"),
    memory: largest("memory") + WORKER_GROWTH,
  };
  const master: Usage = { ...before.master, memory: before.master.memory + MASTER_GROWTH };
  return [
    ...above("the master", after.master, master),
    ...after.workers.flatMap((usage, index) => above(`worker ${index + 1}`, usage, bounds)),
  ];
}

/** All memory, in bytes. */
export function totalMemory({ master, workers }: Footprint): number {
  return workers.reduce((sum, each) => sum + each.memory, master.memory);
}

/** All descriptors. */
export function totalDescriptors({ master, workers }: Footprint): number {
  return workers.reduce((sum, each) => sum + each.descriptors, master.descriptors);
}

function usageOf(pid: number): Usage {
  return {
    descriptors: descriptorCount(pid),
    sockets: socketCount(pid),
    // A process that has just ended has none, which is no number.
    memory: anonymousMemory(pid) || 0,
  };
}

function above(who: string, usage: Usage, bounds: Usage): string[] {
  const texts: string[] = [];
  if (usage.descriptors > bounds.descriptors) {
    texts.push(`${who} has ${usage.descriptors} descriptors open, not ${bounds.descriptors}`);
  }
  if (usage.memory > bounds.memory) {
    const [has, may] = [usage.memory, bounds.memory].map((bytes) => (bytes / MIB).toFixed(1));
    texts.push(`${who} has ${has} MiB of memory, more than ${may}`);
  }
  return texts;
}
