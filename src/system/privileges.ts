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
  /** Why stud must not start although the configuration is valid. */
  readonly refusal?: string;
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
  if (chroot !== "") problems.push(...chrootProblems(chroot, current));
  if (problems.length > 0) return { problems, warnings: [] };
  const ids: Ids = {
    uid: account?.uid ?? current.uid,
    gid: groupId ?? account?.gid ?? current.gid,
  };
  if (current.uid !== 0) return { problems: changeProblems(config, ids, current), warnings: [] };
  if (dialect === "hitch" && !mayStayRoot(config, ids)) {
    const refusal = "{core} ERROR: Refusing to run workers as root.";
    return { problems: [], refusal, warnings: [] };
  }
  const warnings = user === ""
    ? ["the workers run as root; specify another user with --user, e.g. --user=nobody"]
    : [];
  if (user === "" && group === "" && chroot === "") return { problems: [], warnings };
  return { privileges: { ...ids, chroot }, problems: [], warnings };
}

/** hitch serves as root only if root is specified by name, with root's group. */
function mayStayRoot({ user }: PrivilegeConfig, { uid, gid }: Ids): boolean {
  return user !== "" && (uid !== 0 || gid === 0);
}

function unknown(option: string, name: string, database: string, dialect: Dialect): string {
  if (dialect === "hitch") return `Invalid parameter '${option}': Invalid ${option} '${name}'.`;
  const [, user, group] = /^([\w-]+):([\w-]+)$/.exec(name) ?? [];
  const remedy = user === undefined || option !== "user"
    ? `list the valid names with: getent ${database}`
    : `give the group separately: --user=${user} --group=${group}`;
  return `--${option}: Invalid ${option} '${name}'; ${remedy}`;
}

function chrootProblems(path: string, { uid }: Ids): string[] {
  const problems = directoryProblems(path);
  if (uid !== 0) problems.push(`--chroot: only root may use it; start as root or remove it`);
  return problems;
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
function changeProblems(config: PrivilegeConfig, wanted: Ids, current: Ids): string[] {
  const problems: string[] = [];
  if (wanted.uid !== current.uid) problems.push(needsRoot("user", config.user));
  else if (wanted.gid !== current.gid) {
    problems.push(
      config.group === "" ? needsRoot("user", config.user) : needsRoot("group", config.group),
    );
  }
  return problems;
}

function needsRoot(option: string, name: string): string {
  return `--${option}: only root can become '${name}'; start as root or remove it`;
}
