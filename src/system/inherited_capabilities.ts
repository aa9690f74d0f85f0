/** The capabilities that a program keeps across exec (capabilities(7), AmbientCapabilities=). */
import {
  LINUX_CAPABILITY_VERSION_3,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_IS_SET,
  PR_CAP_AMBIENT_RAISE,
} from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { cInt } from "../os/structures.ts";

/** Linux has fewer. */
const MAX_CAPABILITIES = 64;

/**
 * Calls `start`, which starts a process on this thread, so that the process gets none of this one's
 * ambient capabilities. This process keeps them, for new sockets and for a successor.
 */
export function withoutAmbient<T>(libc: Libc, start: () => T): T {
  const ambient = Array.from({ length: MAX_CAPABILITIES }, (_, number) => number)
    .filter((number) => libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0) === 1);
  if (ambient.length === 0) return start();
  libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  try {
    return start();
  } finally {
    for (const number of ambient) {
      libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0);
    }
  }
}

/**
 * Gives up the ambient, permitted, effective and inheritable capabilities of the calling thread. No
 * call does this for all threads of a process. Returns false if the system refuses.
 */
export function dropCapabilities(libc: Libc): boolean {
  libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  const header = new Uint8Array(8);
  header.set(cInt(LINUX_CAPABILITY_VERSION_3));
  return libc.capset(header, new Uint8Array(24)) === 0;
}
