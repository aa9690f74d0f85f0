import process from "node:process";
import type { Privileges } from "./ids.ts";
import { cString } from "../os/structures.ts";
import { PR_SET_DUMPABLE } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { errnoText } from "../os/error_text.ts";

/** A worker creates no files; if it did, only its user could use them. */
const UMASK = 0o077;

/**
 * Changes the root directory if asked for, becomes another user permanently, without supplementary
 * groups, and makes this process undumpable (no core dumps, ptrace or access to most of its /proc,
 * prctl(2)). Without `privileges` it does only the last. It applies to all threads, since glibc's
 * calls do. Call it when everything is open. Throws an Error if the system refuses, or if the
 * process could become root again.
 */
export function dropPrivileges(libc: Libc, privileges: Privileges | undefined): void {
  if (privileges) {
    enterRoot(libc, privileges.chroot);
    becomeUser(libc, privileges);
  }
  process.umask(UMASK);
  // The kernel clears it as well when the user changes, unless fs.suid_dumpable is set.
  attempt(libc, "prctl(PR_SET_DUMPABLE)", libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

function enterRoot(libc: Libc, directory: string): void {
  if (directory === "") return;
  attempt(libc, `chroot to ${directory}`, libc.chroot(cString(directory)));
  // The working directory is still outside of the new root, which would be a way out.
  process.chdir("/");
}

function becomeUser(libc: Libc, { uid, gid }: Privileges): void {
  attempt(libc, "setgroups", libc.setgroups(0, new Uint8Array(4)));
  process.setgid!(gid);
  process.setuid!(uid);
  if (uid === 0) return;
  if (mayBecomeRoot(() => process.setuid!(0)) || mayBecomeRoot(() => process.setgid!(0), gid)) {
    throw new Error(
      `user ${uid} could become root again; start stud without SECBIT_NO_SETUID_FIXUP`,
    );
  }
}

/** `present` is the current id, to which a change always succeeds. */
function mayBecomeRoot(change: () => void, present?: number): boolean {
  if (present === 0) return false;
  try {
    change();
    return true;
  } catch {
    return false;
  }
}

function attempt(libc: Libc, call: string, result: number): void {
  if (result !== 0) throw new Error(`${call} was refused: ${errnoText(libc.errno())}`);
}
