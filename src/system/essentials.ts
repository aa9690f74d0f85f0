/**
 * What a running service must not lose by a reload or an upgrade. A configuration file that was cut
 * off is often valid: without `user` the workers would be root, without `frontend` clients would
 * find another port, and without `client-verify` everybody could connect.
 */
import type { Privileges } from "./ids.ts";
import { currentIds } from "./privileges.ts";

export interface Essentials {
  readonly uid: number;
  readonly gid: number;
  /** The workers' root directory, or "". */
  readonly chroot: string;
  /** Some clients must present a certificate, or may. */
  readonly verifiesClients: boolean;
  /** The options that the configuration has. */
  readonly given: readonly string[];
}

/** Returns the essentials of a configuration with these options. */
export function essentialsOf(
  privileges: Privileges | undefined,
  verifiesClients: boolean,
  given: Iterable<string>,
): Essentials {
  const { uid, gid, chroot } = privileges ?? { ...currentIds(), chroot: "" };
  return { uid, gid, chroot, verifiesClients, given: [...given] };
}

/** Returns one line about everything that would be lost, or undefined. */
export function lossOf(before: Essentials, after: Essentials): string | undefined {
  const lacks = (option: string) => before.given.includes(option) && !after.given.includes(option);
  const isRoot = after.uid === 0 && before.uid !== 0;
  const lost = [
    isRoot && "the workers would run as root",
    !isRoot && after.gid === 0 && before.gid !== 0 && "the workers would have root's group",
    before.chroot !== "" && after.chroot === "" && "the workers would leave their chroot",
    before.verifiesClients && lacks("client-verify") && "clients would no longer be verified",
    lacks("frontend") && "no frontend is configured any more",
    lacks("backend") && "no backend is configured any more",
  ].filter((text) => text !== false);
  if (lost.length === 0) return undefined;
  return `${lost.join(", ")}; complete the configuration, or restart stud if this is intended`;
}
