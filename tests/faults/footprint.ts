/** stud's descriptors and memory, before and after a fault. */
import { anonymousMemory, descriptorCount, socketCount } from "../support/processes.ts";

const MIB = 1024 * 1024;

/**
 * How much the master may grow, in bytes. A reload reads and parses everything again, and a
 * JavaScript heap keeps its size for a while.
 */
export const MASTER_GROWTH = 24 * MIB;

/**
 * How much a worker may exceed the largest worker before the fault, in bytes. The same load warmed
 * each of them up, so the difference is heaps that the collector has not shrunk yet.
 */
export const WORKER_GROWTH = 32 * MIB;

/** How long stud may take to return to its footprint after the load has ended, in ms. */
export const SETTLE_LIMIT = 30_000;

/** The usage of one process; memory in bytes. */
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

/** The values above their bounds, one text for each; empty if there are none. */
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
    // A process that has just exited has none, which is not a number.
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
