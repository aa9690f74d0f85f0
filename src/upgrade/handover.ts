/** What a master passes to its successor, and how. */
import { readFileSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import type { HeldAddress } from "../master/listeners/held_address.ts";
import type { Inherited } from "../master/master.ts";
import type { Libc } from "../os/libc.ts";
import type { PassedSocket } from "../system/activation.ts";
import type { Essentials } from "../system/essentials.ts";
import { closeInherited, descriptorPath, keepFromChildren } from "../os/descriptors.ts";
import type { ReloadsStatus } from "../status/status.ts";
import { errnoText } from "../base/error_text.ts";

export interface Handover extends Inherited {
  /** The process that passes it. */
  readonly pid: number;
  /** Whether it runs in the background, in a session of its own. */
  readonly isDaemon: boolean;
  /** The service manager's sockets, including those that no frontend uses. */
  readonly activated: readonly PassedSocket[];
  /** What the successor's configuration must not lose; absent from an older version. */
  readonly essentials?: Essentials;
  /**
   * The directory in which the program was first started; absent from versions that start the
   * successor in it in any case.
   */
  readonly workingDirectory?: string;
  /** The results of reloads so far; absent from an older version. */
  readonly reloads?: Omit<ReloadsStatus, "isRunning" | "inProgress">;
  /** The sockets of the admin endpoint; absent from an older version. */
  readonly admin?: readonly HeldAddress[];
  /** The descriptor of a file with what the predecessor counts later (`late_counts.ts`). */
  readonly lateCounts?: number;
  /** The descriptor holds the file's lock. */
  readonly pidFile?: { readonly path: string; readonly fd: number };
}

/** The version of the format; incremented when {@link Handover} changes. */
const FORM = 2;

/**
 * Returns the handover with the successor's descriptor numbers, and the descriptors to pass,
 * without duplicates: `fds[i]` gets the number `first + i`.
 */
export function renumbered(
  { addresses, activated, admin = [], lateCounts, pidFile, ...rest }: Handover,
  first: number,
): { readonly handover: Handover; readonly fds: readonly number[] } {
  const all = [
    ...[...addresses, ...admin].flatMap((address) => address.fds),
    ...activated.map(({ fd }) => fd),
    ...(lateCounts === undefined ? [] : [lateCounts]),
    ...(pidFile ? [pidFile.fd] : []),
  ];
  const fds = [...new Set(all)];
  const passed = (fd: number) => first + fds.indexOf(fd);
  const held = (address: HeldAddress) => ({ ...address, fds: address.fds.map(passed) });
  const handover = {
    ...rest,
    addresses: addresses.map(held),
    admin: admin.map(held),
    activated: activated.map((socket) => ({ ...socket, fd: passed(socket.fd) })),
    ...(lateCounts === undefined ? {} : { lateCounts: passed(lateCounts) }),
    ...(pidFile ? { pidFile: { ...pidFile, fd: passed(pidFile.fd) } } : {}),
  };
  return { handover, fds };
}

/**
 * Writes the handover to a file in memory and returns its descriptor, for the successor to inherit.
 * An environment variable would limit its length. Throws an Error if the kernel refuses.
 */
export function writeHandover(libc: Libc, handover: Handover): number {
  const fd = libc.memfd_create(cString("handover"), MFD_CLOEXEC);
  const text = JSON.stringify({ form: FORM, ...handover });
  for (let rest = new TextEncoder().encode(text); fd >= 0 && rest.length > 0;) {
    const written = libc.write(fd, rest, rest.length);
    if (written <= 0) break;
    rest = rest.subarray(written);
    if (rest.length === 0) return fd;
  }
  const reason = errnoText(libc.errno());
  libc.close(fd);
  throw new Error(`cannot write the handover: ${reason}`);
}

/**
 * Reads the handover from an inherited descriptor and closes it. Sets FD_CLOEXEC on the descriptors
 * in the handover. Throws a UsageError if a version with another format wrote it.
 */
export function readHandover(libc: Libc, fd: number): Handover {
  const { form, ...handover } = JSON.parse(readFileSync(descriptorPath(fd), "utf8"));
  closeInherited(libc, fd);
  if (form !== FORM) {
    throw new UsageError(
      "the running version passes its sockets in another format; stop it and start this version",
    );
  }
  for (const held of renumbered(handover, 0).fds) keepFromChildren(libc, held);
  return handover;
}
