/**
 * Looks up the numeric ids of users and groups. `getent` asks all databases of the system (files,
 * LDAP, systemd …); without it, /etc/passwd and /etc/group are read.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Ids } from "./ids.ts";

/** Time limit of a lookup: a directory service that does not answer must not block the start. */
const LOOK_UP_LIMIT_MS = 5000;
/** 2^32 - 1 is not an id: it means "unchanged" to the kernel. */
const MAX_ID = 0xffff_fffe;
/** Also `name@domain` and `DOMAIN\name`; never an option. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,254}$/;

/**
 * Returns the ids of a user and its primary group; undefined if there is no such user. A number
 * without an account is used for both. `getent` is the program to run.
 */
export function lookUpUser(name: string, getent = "getent"): Ids | undefined {
  const fields = lookUp("passwd", name, getent);
  const uid = id(fields?.[2]);
  const gid = id(fields?.[3]);
  if (uid !== undefined && gid !== undefined) return { uid, gid };
  const number = id(name);
  return number === undefined ? undefined : { uid: number, gid: number };
}

/** Returns a group's id; undefined if there is no such group. A number need not have a name. */
export function lookUpGroup(name: string, getent = "getent"): number | undefined {
  return id(lookUp("group", name, getent)?.[2]) ?? id(name);
}

/** Returns the fields of the entry with this name or, as `getent` does, this number. */
function lookUp(database: "passwd" | "group", name: string, getent: string): string[] | undefined {
  if (!NAME.test(name)) return undefined;
  const { error, status, stdout } = spawnSync(getent, [database, name], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    timeout: LOOK_UP_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const isAnswered = !error && (status === 0 || status === NOT_FOUND);
  const entries = (isAnswered ? stdout : localEntries(database)).split("\n")
    .map((line) => line.split(":"));
  return entries.find((fields) => fields[0] === name) ??
    entries.find((fields) => fields[2] === name);
}

/** The exit status of getent for an unknown name. */
const NOT_FOUND = 2;

function localEntries(database: "passwd" | "group"): string {
  try {
    return readFileSync(`/etc/${database}`, "utf8");
  } catch {
    return "";
  }
}

function id(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= MAX_ID ? number : undefined;
}
