/** The restrictions of contrib/stud.service, for tests that apply them without systemd. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./target.ts";

/** The values of a setting in the unit. */
export function unitSetting(name: string): string[] {
  const unit = readFileSync(join(root, "contrib", "stud.service"), "utf8");
  return new RegExp(`^${name}=(.*)$`, "m").exec(unit)![1]!.split(" ");
}

/** The names of the system calls in the unit's filter. */
export function allowedCalls(): Set<string> {
  const { stdout } = spawnSync("systemd-analyze", ["syscall-filter"], { encoding: "utf8" });
  const groups = new Map<string, string[]>();
  let members: string[] = [];
  for (const line of stdout.split("\n")) {
    const word = line.trim();
    if (line.startsWith("@")) groups.set(word, members = []);
    else if (word !== "" && !word.startsWith("#")) members.push(word);
  }
  const names = (word: string): string[] => groups.get(word)?.flatMap(names) ?? [word];
  return new Set(unitSetting("SystemCallFilter").flatMap(names));
}
