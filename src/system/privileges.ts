/** Decides, before anything is opened, whom the workers shall become. */
import { statSync } from "node:fs";
import type { Ids, Privileges } from "./ids.ts";
import type { Dialect } from "../base/dialect.ts";
import { errorText } from "../os/error_text.ts";
import { lookUpGroup, lookUpUser } from "./users.ts";

/** Whom the workers become, by name; "" leaves it. */
export interface PrivilegeConfig {
  readonly user: string;
  readonly group: string;
  /** Absolute directory for the workers' root, or "". */
  readonly chroot: string;
}

export interface PrivilegePlan {
  /** Absent: the workers stay who we are. */
  readonly privileges?: Privileges;
  /** One line each; with any of them there is nothing to start. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Who runs this process. */
export function presentIds(): Ids {
  return { uid: process.geteuid!(), gid: process.getegid!() };
}

/**
 * What `--user`, `--group` and `--chroot` mean for a process that runs as `present`. Changes
 * nothing. The group is that of `--group`, or else the user's primary one.
 */
export function privilegesOf(
  config: PrivilegeConfig,
  dialect: Dialect,
  present: Ids = presentIds(),
): PrivilegePlan {
  const { user, group, chroot } = config;
  const account = user === "" ? undefined : lookUpUser(user);
  const groupId = group === "" ? undefined : lookUpGroup(group);
  const problems: string[] = [];
  if (user !== "" && !account) problems.push(unknown("user", user, "passwd", dialect));
  if (group !== "" && groupId === undefined) {
    problems.push(unknown("group", group, "group", dialect));
  }
  if (chroot !== "") problems.push(...chrootProblems(chroot, present));
  if (problems.length > 0) return { problems, warnings: [] };
  const ids: Ids = {
    uid: account?.uid ?? present.uid,
    gid: groupId ?? account?.gid ?? present.gid,
  };
  if (present.uid !== 0) return { problems: changeProblems(config, ids, present), warnings: [] };
  if (dialect === "hitch" && !mayStayRoot(config, ids)) {
    return { problems: ["{core} ERROR: Refusing to run workers as root."], warnings: [] };
  }
  const warnings = user === ""
    ? ["the workers run as root; name a user for them with --user, e.g. --user=nobody"]
    : [];
  if (user === "" && group === "" && chroot === "") return { problems: [], warnings };
  return { privileges: { ...ids, chroot }, problems: [], warnings };
}

/** hitch serves as root only for those who ask for it by name, with root's group. */
function mayStayRoot({ user }: PrivilegeConfig, { uid, gid }: Ids): boolean {
  return user !== "" && (uid !== 0 || gid === 0);
}

function unknown(option: string, name: string, database: string, dialect: Dialect): string {
  return dialect === "hitch"
    ? `Invalid parameter '${option}': Invalid ${option} '${name}'.`
    : `--${option}: Invalid ${option} '${name}'; see those there are with: getent ${database}`;
}

function chrootProblems(path: string, { uid }: Ids): string[] {
  const problems = directoryProblems(path);
  if (uid !== 0) problems.push(`--chroot: only root may use it; start as root or leave it out`);
  return problems;
}

function directoryProblems(path: string): string[] {
  try {
    if (statSync(path).isDirectory()) return [];
    return [`--chroot: Bad directory '${path}'; name a directory`];
  } catch (error) {
    return [`--chroot: Unable to stat directory '${path}': ${errorText(error)}; create it first`];
  }
}

/** Without root, a process can only stay who it is. */
function changeProblems(config: PrivilegeConfig, wanted: Ids, present: Ids): string[] {
  const problems: string[] = [];
  if (wanted.uid !== present.uid) problems.push(needsRoot("user", config.user));
  else if (wanted.gid !== present.gid) {
    problems.push(
      config.group === "" ? needsRoot("user", config.user) : needsRoot("group", config.group),
    );
  }
  return problems;
}

function needsRoot(option: string, name: string): string {
  return `--${option}: only root can become '${name}'; start as root or leave it out`;
}
