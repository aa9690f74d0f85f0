import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../base/errors.ts";
import type { PemDirectory } from "../options/config.ts";
import { globPattern } from "./glob.ts";

/** A regular file's text; symbolic links are followed. Throws a UsageError. */
export function readText(file: string, encoding: "utf8" | "latin1"): string {
  stampOf(file);
  return reading(file, () => readFileSync(file, encoding));
}

/**
 * Differs as soon as a file was replaced or changed. Throws a UsageError when it is no regular
 * file: to open a pipe would wait for its writer.
 */
export function stampOf(file: string): string {
  const stat = reading(file, () => statSync(file, { bigint: true }));
  if (stat.isDirectory()) throw new UsageError(`${file}: ${reasons.EISDIR}`);
  if (!stat.isFile()) throw new UsageError(`${file}: it is not a regular file; name one`);
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(":");
}

/**
 * The paths of the regular files in a directory whose names match its glob, in the order of the
 * names' bytes; symbolic links are followed, one to nothing among them. Throws a UsageError.
 */
export function listDirectory({ path, glob }: PemDirectory): string[] {
  const pattern = globPattern(glob === "" ? "*" : glob);
  const names = reading(path, () => readdirSync(path)).filter((name) => pattern.test(name));
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return names.map((name) => join(path, name)).filter(isFileOrBroken);
}

/** What cannot be looked at is told by whoever loads it. */
function isFileOrBroken(file: string): boolean {
  try {
    return statSync(file).isFile();
  } catch {
    return true;
  }
}

const reasons: Record<string, string> = {
  ENOENT: "there is no such file; check the path",
  EACCES: "it may not be read; give this user the right to read it",
  EISDIR: "it is a directory; name a file in it",
  ENOTDIR: "a part of the path is no directory; check the path",
};

function reading<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new UsageError(`${file}: ${reasons[code] ?? `it cannot be read (${code})`}`);
  }
}
