import { createHash } from "node:crypto";
import { getSystemErrorName } from "node:util";
import type { Material, StoredCertificate } from "./served_tls.ts";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { O_CLOEXEC } from "../os/constants.ts";
import { O_RDONLY } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** Where something is in the store, in bytes. */
export type Location = Pick<StoredCertificate, "offset" | "length">;

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

  /** Stores it, or finds what is equal to it. Throws an Error when memory runs out. */
  add(material: Material): Location {
    const bytes = Buffer.from(JSON.stringify(material));
    const hash = createHash("sha256").update(bytes).digest("base64");
    const known = this.locations.get(hash);
    if (known) return known;
    const location = { offset: this.size, length: bytes.length };
    for (let rest: Uint8Array = bytes; rest.length > 0;) {
      const written = check(this.libc, this.libc.write(this.writeFd, rest, rest.length));
      this.size += written;
      rest = rest.subarray(written);
    }
    this.locations.set(hash, location);
    return location;
  }

  /** Workers that inherited it keep it. */
  close(): void {
    this.libc.close(this.writeFd);
    this.libc.close(this.readFd);
  }
}

/** What is at a place of the store behind `fd`. Throws an Error when it is not whole. */
export function readMaterial(libc: Libc, fd: number, { offset, length }: Location): Material {
  if (!isSize(offset) || !isSize(length) || length > MAX_BYTES) {
    throw new Error(`no place in the certificate store: ${offset}, ${length}`);
  }
  const bytes = Buffer.alloc(length);
  for (let read = 0; read < length;) {
    const rest = bytes.subarray(read);
    const count = check(libc, libc.pread(fd, rest, rest.length, offset + read));
    if (count === 0) throw new Error(`the certificate store ends before ${offset + length}`);
    read += count;
  }
  return JSON.parse(bytes.toString("utf8"));
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
