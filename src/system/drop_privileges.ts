import process from "node:process";
import type { Privileges } from "./ids.ts";
import { cString } from "../os/structures.ts";
import { PR_SET_DUMPABLE } from "../os/constants.ts";
import type { Libc } from "../os/libc.ts";
import { errnoText } from "../base/error_text.ts";
import { dropCapabilities } from "./inherited_capabilities.ts";

/** Workers create no files; any would be accessible to their own user only. */
const UMASK = 0o077;

/**
 * Enters the chroot if one is configured, changes the user permanently and drops all supplementary
 * groups, and protects this process from inspection (core dumps, ptrace and most of /proc, prctl(2)).
 * Without `privileges` it only does the last. It affects all threads: glibc applies the calls to
 * each. Call it when everything is open. Throws an Error if the system refuses, or if the process
 * could regain root.
 */
export function dropPrivileges(libc: Libc, privileges: Privileges | undefined): void {
  if (privileges) {
    enterRoot(libc, privileges.chroot);
    becomeUser(libc, privileges);
  }
  // A user without root's rights can have been given some of them.
  if (process.geteuid!() !== 0) attempt(libc, "capset", dropCapabilities(libc) ? 0 : -1);
  process.umask(UMASK);
  // The kernel also clears it when the user changes, depending on fs.suid_dumpable.
  attempt(libc, "prctl(PR_SET_DUMPABLE)", libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

function enterRoot(libc: Libc, directory: string): void {
  if (directory === "") return;
  attempt(libc, `chroot to ${directory}`, libc.chroot(cString(directory)));
  // The working directory is still outside, which would allow an escape.
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

/** `current` is our id, since a change to the same id always succeeds. */
function mayBecomeRoot(change: () => void, current?: number): boolean {
  if (current === 0) return false;
  try {
    change();
    return true;
  } catch {
    return false;
  }
}

function attempt(libc: Libc, call: string, result: number): void {
  if (result !== 0) throw new Error(`${call} failed: ${errnoText(libc.errno())}`);
}
