import { createHash } from "node:crypto";
import { getSystemErrorName } from "node:util";
import { derToPem } from "../base/pem.ts";
import type { Material, StoredCertificate } from "./served_tls.ts";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { O_CLOEXEC } from "../os/constants.ts";
import { O_RDONLY } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** Bytes that tell the lengths of a chain, its key and its DH parameters, which follow. */
const HEADER = 3 * 4;

/** Where something is in the store, in bytes. */
export type Location = Pick<StoredCertificate, "offset" | "length">;

/** What is put into the store. */
export interface NewMaterial extends Omit<Material, "key"> {
  /** PKCS#8 in DER, not encrypted. */
  readonly key: Uint8Array;
}

/** A chain of hundreds of certificates has not as much; a length beyond it is a fault. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Certificates and keys in memory that master and workers share: a file without a name which the
 * master appends to. Workers inherit a descriptor that can only be read.
 */
export class CertificateStore {
  /** For the workers to inherit. */
  readonly readFd: number;
  /** Bytes that were written. */
  size = 0;
  private readonly libc: Libc;
  private readonly writeFd: number;
  /** By the hash of what is there, so that nothing is there twice. */
  private readonly locations = new Map<string, Location>();

  /** Throws an Error when the system refuses. */
  constructor(libc: Libc) {
    this.libc = libc;
    this.writeFd = check(libc, libc.memfd_create(cString("certificates"), MFD_CLOEXEC));
    // A worker could otherwise open its descriptor anew in /proc, for writing.
    check(libc, libc.fchmod(this.writeFd, 0o400));
    const self = cString(`/proc/self/fd/${this.writeFd}`);
    this.readFd = check(libc, libc.open(self, O_RDONLY | O_CLOEXEC, 0));
  }

  /**
   * Stores it, or finds what is equal to it. No copy of the key stays in this process's memory.
   * Throws an Error when memory runs out.
   */
  add({ chain, key, dhParameters = "" }: NewMaterial): Location {
    const parts = [Buffer.from(chain), key, Buffer.from(dhParameters)];
    const header = Buffer.alloc(HEADER);
    parts.forEach((part, i) => header.writeUInt32BE(part.length, 4 * i));
    const bytes = Buffer.concat([header, ...parts]);
    try {
      return this.write(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /** Workers that inherited it keep it. */
  close(): void {
    this.libc.close(this.writeFd);
    this.libc.close(this.readFd);
  }

  private write(bytes: Uint8Array): Location {
    const hash = createHash("sha256").update(bytes).digest("base64");
    const known = this.locations.get(hash);
    if (known) return known;
    const location = { offset: this.size, length: bytes.length };
    for (let rest = bytes; rest.length > 0;) {
      const written = check(this.libc, this.libc.write(this.writeFd, rest, rest.length));
      this.size += written;
      rest = rest.subarray(written);
    }
    this.locations.set(hash, location);
    return location;
  }
}

/** What is at a place of the store behind `fd`. Throws an Error when it is not whole. */
export function readMaterial(libc: Libc, fd: number, location: Location): Material {
  const [chain, key, dhParameters] = readParts(libc, fd, location);
  return {
    chain: chain!.toString(),
    key: derToPem("PRIVATE KEY", key!),
    ...(dhParameters!.length > 0 ? { dhParameters: dhParameters!.toString() } : {}),
  };
}

/** The chain alone, as PEM text. */
export function readChain(libc: Libc, fd: number, location: Location): string {
  const [chain, key] = readParts(libc, fd, location);
  key!.fill(0);
  return chain!.toString();
}

/** The key alone, as PKCS#8 in DER; the caller wipes it. */
export function readKey(libc: Libc, fd: number, location: Location): Buffer {
  return readParts(libc, fd, location)[1]!;
}

/** Chain, key and DH parameters. */
function readParts(libc: Libc, fd: number, { offset, length }: Location): Buffer[] {
  if (!isSize(offset) || !isSize(length) || length > MAX_BYTES) {
    throw new Error(`no place in the certificate store: ${offset}, ${length}`);
  }
  if (length < HEADER) throw new Error("the certificate store is damaged");
  const bytes = Buffer.alloc(length);
  for (let read = 0; read < length;) {
    const rest = bytes.subarray(read);
    const count = check(libc, libc.pread(fd, rest, rest.length, offset + read));
    if (count === 0) throw new Error(`the certificate store ends before ${offset + length}`);
    read += count;
  }
  const lengths = [0, 1, 2].map((part) => bytes.readUInt32BE(4 * part));
  let start = HEADER;
  const parts = lengths.map((each) => bytes.subarray(start, start += each));
  if (start !== length) throw new Error(`the certificate store is damaged at ${offset}`);
  return parts;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function check(libc: Libc, result: number): number {
  if (result < 0) {
    throw new Error(`the certificate store failed: ${getSystemErrorName(-libc.errno())}`);
  }
  return result;
}
