/** Searches the memory of another process, like a debugger. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const PAGE = 4096;
/** Bytes per entry of /proc/PID/pagemap. */
const ENTRY = 8;
const STEP = 1024;

/**
 * The number of copies of the text in a process's memory, in UTF-8 or UTF-16. Throws an Error if the
 * memory cannot be read.
 */
export function copiesIn(pid: number, text: string): number {
  const needles = [Buffer.from(text), Buffer.from(text, "utf16le")];
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    let copies = 0;
    for (const [start, end] of regionsOf(pid)) {
      const bytes = presentBytes(memory, pagemap, start, end);
      for (const needle of needles) copies += occurrences(bytes, needle);
    }
    return copies;
  } finally {
    closeSync(memory);
    closeSync(pagemap);
  }
}

/** The address ranges that can be read, without the kernel's own mappings. */
function regionsOf(pid: number): [start: number, end: number][] {
  return readFileSync(`/proc/${pid}/maps`, "utf8").trim().split("\n").flatMap((line) => {
    const [, start, end, mode, name = ""] = /^(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line)!;
    if (!mode!.startsWith("r") || name.startsWith("[v")) return [];
    return [[parseInt(start!, 16), parseInt(end!, 16)]];
  });
}

/** The bytes of the used pages of a region: runtimes reserve terabytes. */
function presentBytes(memory: number, pagemap: number, start: number, end: number): Buffer {
  const found: Buffer[] = [];
  const entries = Buffer.alloc(STEP * ENTRY);
  for (let page = start / PAGE; page < end / PAGE; page += STEP) {
    const count = Math.min(STEP, end / PAGE - page);
    readSync(pagemap, entries, 0, count * ENTRY, page * ENTRY);
    for (let i = 0; i < count; i++) {
      // Bit 63: in memory; bit 62: swapped out.
      if ((entries[i * ENTRY + 7]! & 0xc0) === 0) continue;
      const bytes = Buffer.alloc(PAGE);
      try {
        readSync(memory, bytes, 0, PAGE, (page + i) * PAGE);
      } catch {
        // It has been unmapped meanwhile.
        continue;
      }
      found.push(bytes);
    }
  }
  return Buffer.concat(found);
}

function occurrences(bytes: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) count++;
  return count;
}
