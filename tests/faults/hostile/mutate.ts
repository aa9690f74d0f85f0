/** Mutates real ClientHellos into ones that no client would send. Pure. */

/** RFC 8446 section 5.1. */
const RECORD_HEAD = 5;
const MAX_RECORD = 16_384;
/** The longest input, in bytes. */
const MAX_INPUT = 70_000;

/** The position of a length field in a hello: `at` in the record, `width` bytes. */
interface LengthField {
  readonly at: number;
  readonly width: number;
}

/** Numbers from a seed: mulberry32. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** From 0 to `below - 1`. */
  number(below: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000 * below);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.number(list.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.number(256)));
  }
}

/**
 * The input with this number: the same for the same seed and hellos. Each hello is one record that
 * holds one whole ClientHello.
 */
export function mutant(hellos: readonly Buffer[], seed: number, number: number): Buffer {
  const random = new Random(Math.imul(seed, 0x9e3779b1) + number);
  let bytes: Buffer = Buffer.from(random.pick(hellos));
  for (let left = 1 + random.number(3); left > 0; left--) {
    bytes = random.pick(mutations)(bytes, random, hellos);
  }
  return bytes.subarray(0, MAX_INPUT);
}

/** Every length in a ClientHello (RFC 8446 section 4.1.2), as far as it can be parsed. */
export function lengthFields(hello: Buffer): LengthField[] {
  const fields: LengthField[] = [];
  const has = (at: number, width: number) => at + width <= hello.length;
  const add = (at: number, width: number) => {
    fields.push({ at, width });
    return hello.readUIntBE(at, width);
  };
  if (!has(3, 2) || !has(6, 3)) return fields;
  add(3, 2);
  add(6, 3);
  let at = RECORD_HEAD + 4 + 2 + 32;
  for (const width of [1, 2, 1]) {
    if (!has(at, width)) return fields;
    at += width + add(at, width);
  }
  if (!has(at, 2)) return fields;
  add(at, 2);
  at += 2;
  while (has(at, 4)) {
    const length = add(at + 2, 2);
    // Most extensions start with the length of a list.
    if (length >= 2 && has(at + 4, 2)) fields.push({ at: at + 4, width: 2 });
    at += 4 + length;
  }
  return fields;
}

type Mutation = (bytes: Buffer, random: Random, hellos: readonly Buffer[]) => Buffer;

const mutations: readonly Mutation[] = [
  flipBits,
  setByte,
  changeLength,
  changeLength,
  truncate,
  duplicate,
  remove,
  splice,
  (bytes, random) => repair(truncate(bytes, random)),
  (bytes, random) => repair(duplicate(bytes, random)),
  (bytes, random) => repair(remove(bytes, random)),
  addExtension,
  fragment,
  appendRecords,
];

function flipBits(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return bytes;
  for (let left = 1 + random.number(8); left > 0; left--) {
    const at = random.number(bytes.length);
    bytes[at] = bytes[at]! ^ (1 << random.number(8));
  }
  return bytes;
}

function setByte(bytes: Buffer, random: Random): Buffer {
  if (bytes.length > 0) bytes[random.number(bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
  return bytes;
}

function changeLength(bytes: Buffer, random: Random): Buffer {
  const fields = lengthFields(bytes);
  if (fields.length === 0) return bytes;
  const { at, width } = random.pick(fields);
  const most = 256 ** width - 1;
  const value = bytes.readUIntBE(at, width);
  const near = value + random.number(5) - 2;
  const chosen = random.pick([0, 1, most, near, near, value * 2, random.number(most)]);
  bytes.writeUIntBE(Math.max(0, Math.min(most, chosen)), at, width);
  return bytes;
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return Buffer.from(bytes.subarray(0, random.number(bytes.length + 1)));
}

function duplicate(bytes: Buffer, random: Random): Buffer {
  const [from, to] = range(bytes, random);
  const times = random.pick([1, 1, 1, 2, 20]);
  const part = bytes.subarray(from, to);
  const parts = Array.from({ length: times }, () => part);
  return Buffer.concat([bytes.subarray(0, to), ...parts, bytes.subarray(to)]);
}

function remove(bytes: Buffer, random: Random): Buffer {
  const [from, to] = range(bytes, random);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
}

function splice(bytes: Buffer, random: Random, hellos: readonly Buffer[]): Buffer {
  const other = random.pick(hellos);
  const [from, to] = range(other, random);
  const at = random.number(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at)]);
}

/** Possibly longer than a record allows; type and content are arbitrary. */
function addExtension(bytes: Buffer, random: Random): Buffer {
  const length = random.pick([0, 1, 100, 1000, 15_000, 17_000, 65_000]);
  const head = Buffer.alloc(4);
  head.writeUInt16BE(random.pick([0, 10, 13, 16, 35, 41, 42, 43, 51, random.number(65_536)]), 0);
  head.writeUInt16BE(length, 2);
  const content = Buffer.alloc(length, random.number(256));
  return repair(Buffer.concat([bytes, head, content]));
}

/** Splits the content of the first record into many, with others between. */
function fragment(bytes: Buffer, random: Random): Buffer {
  if (bytes.length <= RECORD_HEAD) return bytes;
  const content = bytes.subarray(RECORD_HEAD);
  // Large enough that a large content does not become a hundred thousand records.
  const least = Math.ceil(content.length / 2000);
  const size = least + random.pick([0, 1, 10, 100, 1000]);
  const between = random.pick([[], [], [record(22, 0)], [record(20, 1)], [record(21, 2)]]);
  const parts: Buffer[] = [];
  for (let at = 0; at < content.length; at += size) {
    const part = content.subarray(at, at + size);
    const head = Buffer.from([
      bytes[0]!,
      bytes[1]!,
      bytes[2]!,
      part.length >> 8,
      part.length & 255,
    ]);
    parts.push(head, part, ...between);
  }
  return Buffer.concat(parts);
}

function appendRecords(bytes: Buffer, random: Random): Buffer {
  const type = random.pick([20, 21, 22, 23, 24, random.number(256)]);
  const length = random.pick([0, 1, 2, 100, MAX_RECORD, MAX_RECORD + 300]);
  const tail = record(type, length);
  tail.fill(random.number(256), RECORD_HEAD);
  return Buffer.concat([bytes, ...Array.from({ length: 1 + random.number(4) }, () => tail)]);
}

/** Sets the lengths of the record, the message and the extensions to their actual values. */
function repair(bytes: Buffer): Buffer {
  const fields = lengthFields(bytes);
  const extensions = fields[5];
  if (!extensions) return bytes;
  const after = extensions.at + extensions.width;
  if (bytes.length < after) return bytes;
  bytes.writeUInt16BE(Math.min(0xffff, bytes.length - after), extensions.at);
  bytes.writeUIntBE(bytes.length - RECORD_HEAD - 4, 6, 3);
  if (bytes.length - RECORD_HEAD <= MAX_RECORD) {
    bytes.writeUInt16BE(bytes.length - RECORD_HEAD, 3);
    return bytes;
  }
  const parts: Buffer[] = [];
  for (let at = RECORD_HEAD; at < bytes.length; at += MAX_RECORD) {
    const part = bytes.subarray(at, at + MAX_RECORD);
    const head = Buffer.from([
      bytes[0]!,
      bytes[1]!,
      bytes[2]!,
      part.length >> 8,
      part.length & 255,
    ]);
    parts.push(head, part);
  }
  return Buffer.concat(parts);
}

function record(type: number, length: number): Buffer {
  return Buffer.concat([
    Buffer.from([type, 3, 3, length >> 8, length & 255]),
    Buffer.alloc(length),
  ]);
}

function range(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random.number(bytes.length + 1);
  const length = random.pick([1, 4, 32, 256, 2048]);
  return [from, Math.min(bytes.length, from + 1 + random.number(length))];
}
