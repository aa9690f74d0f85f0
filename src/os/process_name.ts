import { PR_SET_NAME } from "./constants.ts";
import type { Libc } from "./libc.ts";
import { cString } from "./structures.ts";

/** The kernel's limit, in bytes. */
const MAX_LENGTH = 15;

/** Sets the name of the calling thread, and of its process if it is the first (ps -o comm, killall). */
export function nameProcess(libc: Libc, name: string): void {
  libc.prctl(PR_SET_NAME, libc.addressOf(cString(name.slice(0, MAX_LENGTH))), 0, 0, 0);
}
