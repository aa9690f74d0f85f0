/** Determines, before anything is opened, the workers' user, group and root directory. */
import { statSync } from "node:fs";
import type { Ids, Privileges } from "./ids.ts";
import type { Dialect } from "../base/dialect.ts";
import { errorText } from "../base/error_text.ts";
import { lookUpGroup, lookUpUser } from "./users.ts";

/** The workers' user and group by name; "" keeps the current one. */
export interface PrivilegeConfig {
  readonly user: string;
  readonly group: string;
  /** Absolute directory for the workers' root, or "". */
  readonly chroot: string;
}

export interface PrivilegePlan {
  /** Absent: the workers keep our user, group and root. */
  readonly privileges?: Privileges;
  /** One line each; if there are any, stud must not start. */
  readonly problems: readonly string[];
  /** Why this user must not start it although the configuration is valid, one line each. */
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
}

/** Returns this process's effective ids. */
export function currentIds(): Ids {
  return { uid: process.geteuid!(), gid: process.getegid!() };
}

/**
 * Resolves `--user`, `--group` and `--chroot` for a process that runs as `current`. Changes nothing.
 * The group is that of `--group`, or else the user's primary one.
 */
export function privilegesOf(
  config: PrivilegeConfig,
  dialect: Dialect,
  current: Ids = currentIds(),
): PrivilegePlan {
  const { user, group, chroot } = config;
  const account = user === "" ? undefined : lookUpUser(user);
  const groupId = group === "" ? undefined : lookUpGroup(group);
  const problems: string[] = [];
  if (user !== "" && !account) problems.push(unknown("user", user, "passwd", dialect));
  if (group !== "" && groupId === undefined) {
    problems.push(unknown("group", group, "group", dialect));
  }
  if (chroot !== "") problems.push(...directoryProblems(chroot));
  if (problems.length > 0) return { problems, refusals: [], warnings: [] };
  const ids: Ids = {
    uid: account?.uid ?? current.uid,
    gid: groupId ?? account?.gid ?? current.gid,
  };
  if (current.uid !== 0) {
    return { problems: [], refusals: changeRefusals(config, ids, current), warnings: [] };
  }
  if (dialect === "hitch" && !mayStayRoot(config, ids)) {
    const refusals = ["{core} ERROR: Refusing to run workers as root."];
    return { problems: [], refusals, warnings: [] };
  }
  const warnings = user === ""
    ? ["the workers run as root; specify another user with --user, e.g. --user=nobody"]
    : [];
  const plan = { problems: [], refusals: [], warnings };
  if (user === "" && group === "" && chroot === "") return plan;
  return { privileges: { ...ids, chroot }, ...plan };
}

/** hitch serves as root only if root is specified by name, with root's group. */
function mayStayRoot({ user }: PrivilegeConfig, { uid, gid }: Ids): boolean {
  return user !== "" && (uid !== 0 || gid === 0);
}

function unknown(option: string, name: string, database: string, dialect: Dialect): string {
  const shown = name.replace(/:.*@/s, "…@");
  if (dialect === "hitch") return `Invalid parameter '${option}': Invalid ${option} '${shown}'.`;
  const [, user, group] = /^([\w-]+):([\w-]+)$/.exec(name) ?? [];
  const remedy = user === undefined || option !== "user"
    ? `list the valid names with: getent ${database}`
    : `give the group separately: --user=${user} --group=${group}`;
  return `--${option}: Invalid ${option} '${shown}'; ${remedy}`;
}

function directoryProblems(path: string): string[] {
  try {
    if (statSync(path).isDirectory()) return [];
    return [`--chroot: Bad directory '${path}'; specify a directory`];
  } catch (error) {
    return [`--chroot: Unable to stat directory '${path}': ${errorText(error)}; create it first`];
  }
}

/** Without root, a process can only keep its ids. */
function changeRefusals(config: PrivilegeConfig, wanted: Ids, current: Ids): string[] {
  const refusals: string[] = [];
  if (config.chroot !== "") {
    refusals.push("--chroot: only root may use it; start as root or remove it");
  }
  if (wanted.uid !== current.uid) refusals.push(needsRoot("user", config.user));
  else if (wanted.gid !== current.gid) {
    refusals.push(
      config.group === "" ? needsRoot("user", config.user) : needsRoot("group", config.group),
    );
  }
  return refusals;
}

function needsRoot(option: string, name: string): string {
  return `--${option}: only root can become '${name}'; start as root or remove it`;
}
