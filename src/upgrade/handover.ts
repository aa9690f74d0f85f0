/** What a master leaves to the program that takes its place, and how it gets there. */
import { readFileSync } from "node:fs";
import { UsageError } from "../base/errors.ts";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import type { Inherited } from "../master/master.ts";
import type { Libc } from "../os/libc.ts";
import type { PassedSocket } from "../system/activation.ts";
import { closeInherited, keepFromChildren } from "../os/descriptors.ts";
import { errnoText } from "../os/error_text.ts";

export interface Handover extends Inherited {
  /** It serves in the background, in a session of its own. */
  readonly isDaemon: boolean;
  /** The service manager's sockets, also those which no frontend uses. */
  readonly activated: readonly PassedSocket[];
  /** The lock goes with the descriptor. */
  readonly pidFile?: { readonly path: string; readonly fd: number };
}

/** Another form of {@link Handover} gets another number, so that versions do not misunderstand it. */
const FORM = 1;

/**
 * The same with the numbers under which an heir finds the descriptors: `fds`, of which each is there
 * once, become `first` and those after it.
 */
export function renumbered(
  { addresses, activated, pidFile, ...rest }: Handover,
  first: number,
): { readonly handover: Handover; readonly fds: readonly number[] } {
  const all = [
    ...addresses.flatMap((address) => address.fds),
    ...activated.map(({ fd }) => fd),
    ...(pidFile ? [pidFile.fd] : []),
  ];
  const fds = [...new Set(all)];
  const heirs = (fd: number) => first + fds.indexOf(fd);
  const handover = {
    ...rest,
    addresses: addresses.map((address) => ({ ...address, fds: address.fds.map(heirs) })),
    activated: activated.map((socket) => ({ ...socket, fd: heirs(socket.fd) })),
    ...(pidFile ? { pidFile: { ...pidFile, fd: heirs(pidFile.fd) } } : {}),
  };
  return { handover, fds };
}

/**
 * A descriptor of a file in memory that holds the estate, for the heir to inherit; there is no limit
 * to its length as there is for a variable. Throws an Error when the system refuses.
 */
export function writeHandover(libc: Libc, handover: Handover): number {
  const fd = libc.memfd_create(cString("estate"), MFD_CLOEXEC);
  const text = JSON.stringify({ form: FORM, ...handover });
  for (let rest = new TextEncoder().encode(text); fd >= 0 && rest.length > 0;) {
    const written = libc.write(fd, rest, rest.length);
    if (written <= 0) break;
    rest = rest.subarray(written);
    if (rest.length === 0) return fd;
  }
  const reason = errnoText(libc.errno());
  libc.close(fd);
  throw new Error(`the sockets cannot be described: ${reason}`);
}

/**
 * Reads the estate from an inherited descriptor and closes that. No process that this one starts
 * inherits what it names by mistake. Throws a UsageError when another version wrote it.
 */
export function readHandover(libc: Libc, fd: number): Handover {
  const { form, ...handover } = JSON.parse(readFileSync(`/proc/self/fd/${fd}`, "utf8"));
  closeInherited(libc, fd);
  if (form !== FORM) {
    throw new UsageError(
      "what the running program passes on is of another version; stop it and start this one",
    );
  }
  for (const held of renumbered(handover, 0).fds) keepFromChildren(libc, held);
  return handover;
}
