import { createHash } from "node:crypto";
import { getSystemErrorName } from "node:util";
import { errnoText } from "../base/error_text.ts";
import { UsageError } from "../base/errors.ts";
import { derToPem } from "../base/pem.ts";
import { secretBuffer } from "../base/secret_buffer.ts";
import type { Material, StoredCertificate } from "./served_tls.ts";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { O_CLOEXEC } from "../os/constants.ts";
import { O_RDONLY } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";

/** Length of an entry's header: the lengths of chain, key and DH parameters, which follow it. */
const HEADER = 3 * 4;

/** The place of an entry in the store, in bytes. */
export type Location = Pick<StoredCertificate, "offset" | "length">;

/** An entry for the store. */
export interface NewMaterial extends Omit<Material, "key"> {
  /** PKCS#8 in DER, not encrypted. */
  readonly key: Uint8Array;
}

/** Maximum length of an entry, in bytes: more than a chain of hundreds of certificates. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Certificates and keys in memory that the master and its workers share: an unnamed file that the
 * master appends to. Workers inherit a read-only descriptor.
 */
export class CertificateStore {
  /** The descriptor that workers inherit. */
  readonly readFd: number;
  /** Bytes written so far. */
  size = 0;
  private readonly libc: Libc;
  private readonly writeFd: number;
  /** By the hash of the entry, so that equal entries are stored once. */
  private readonly locations = new Map<string, Location>();

  /** Throws an Error if the system call fails. */
  constructor(libc: Libc) {
    this.libc = libc;
    this.writeFd = check(libc, libc.memfd_create(cString("certificates"), MFD_CLOEXEC));
    // Otherwise a worker could reopen its descriptor for writing, in /proc.
    check(libc, libc.fchmod(this.writeFd, 0o400));
    const self = cString(`/proc/self/fd/${this.writeFd}`);
    this.readFd = check(libc, libc.open(self, O_RDONLY | O_CLOEXEC, 0));
  }

  /**
   * Stores an entry, or finds an equal one. Leaves no copy of the key in this process's memory.
   * Throws a UsageError if the system refuses the memory.
   */
  add({ chain, key, dhParameters = "" }: NewMaterial): Location {
    const parts = [Buffer.from(chain), key, Buffer.from(dhParameters)];
    const bytes = secretBuffer(parts.reduce((sum, part) => sum + part.length, HEADER));
    try {
      let start = HEADER;
      for (const [i, part] of parts.entries()) {
        bytes.writeUInt32BE(part.length, 4 * i);
        bytes.set(part, start);
        start += part.length;
      }
      return this.write(bytes);
    } finally {
      bytes.fill(0);
    }
  }

  /** Closes it here; workers that inherited it keep it open. */
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
      const written = this.libc.write(this.writeFd, rest, rest.length);
      if (written < 0) throw noRoom(this.libc);
      this.size += written;
      rest = rest.subarray(written);
    }
    this.locations.set(hash, location);
    return location;
  }
}

/** Reads an entry of the store behind `fd`. Throws an Error if it is incomplete. */
export function readMaterial(libc: Libc, fd: number, location: Location): Material {
  const [chain, key, dhParameters] = readParts(libc, fd, location);
  return {
    chain: chain!.toString(),
    key: derToPem("PRIVATE KEY", key!),
    ...(dhParameters!.length > 0 ? { dhParameters: dhParameters!.toString() } : {}),
  };
}

/** Reads the chain of an entry, as PEM text. */
export function readChain(libc: Libc, fd: number, location: Location): string {
  const [chain, key] = readParts(libc, fd, location);
  key!.fill(0);
  return chain!.toString();
}

/** Reads the key of an entry, as PKCS#8 in DER; the caller wipes it. */
export function readKey(libc: Libc, fd: number, location: Location): Buffer {
  return readParts(libc, fd, location)[1]!;
}

/** Reads chain, key and DH parameters of an entry. */
function readParts(libc: Libc, fd: number, { offset, length }: Location): Buffer[] {
  if (!isSize(offset) || !isSize(length) || length > MAX_BYTES) {
    throw new Error(`no place in the certificate store: ${offset}, ${length}`);
  }
  if (length < HEADER) throw new Error("the certificate store is damaged");
  const bytes = secretBuffer(length);
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

function noRoom(libc: Libc): UsageError {
  return new UsageError(
    `the certificates cannot be kept in memory: ${errnoText(libc.errno())}; allow this process ` +
      "more memory, and larger files (ulimit -f, LimitFSIZE=)",
  );
}

function check(libc: Libc, result: number): number {
  if (result < 0) {
    throw new Error(`the certificate store failed: ${getSystemErrorName(-libc.errno())}`);
  }
  return result;
}
