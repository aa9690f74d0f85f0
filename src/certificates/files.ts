/** Looks at the files and directories that certificates are loaded from, without reading them. */
import { type BigIntStats, readdir, readdirSync, stat, statSync } from "node:fs";
import { join } from "node:path";
import { notRegular, withFileErrors } from "../base/read_file.ts";
import type { PemDirectory } from "../options/config.ts";
import { globPattern } from "./glob.ts";

/**
 * Returns a text that differs as soon as the file was replaced or changed; symbolic links are
 * followed. A pipe, which can be read only once, never changes. Throws a FileError when it is
 * neither a regular file nor a pipe.
 */
export function stampOf(file: string): string {
  const found = withFileErrors(file, () => statSync(file, { bigint: true }));
  if (found.isFile()) return stampFrom(found);
  if (found.isFIFO()) return [found.dev, found.ino].join(":");
  throw notRegular(file, found.isDirectory());
}

/** The same without blocking, for whatever is there. Never rejected. */
export function lookAt(file: string): Promise<string> {
  return new Promise((resolve) => {
    stat(file, { bigint: true }, (error, found) => {
      // Whoever loads it reports what is wrong.
      if (error) return resolve(String(error.code));
      // A directory changes with all that is made in it.
      resolve(found.isFile() ? stampFrom(found) : "no file");
    });
  });
}

/**
 * Returns the paths of the regular files in a directory whose names match its glob, in the order of
 * the names' bytes; symbolic links are followed, one to nothing among them. Throws a FileError.
 */
export function listDirectory(directory: PemDirectory): string[] {
  const { path } = directory;
  return matching(directory, withFileErrors(path, () => readdirSync(path))).filter(isFileOrBroken);
}

/** Returns all paths whose names match, without blocking; none if it cannot be read. */
export function lookInto(directory: PemDirectory): Promise<string[]> {
  return new Promise((resolve) => {
    readdir(directory.path, (error, names) => resolve(error ? [] : matching(directory, names)));
  });
}

function stampFrom({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
}

function matching({ path, glob }: PemDirectory, names: readonly string[]): string[] {
  const pattern = globPattern(glob === "" ? "*" : glob);
  const found = names.filter((name) => pattern.test(name));
  found.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return found.map((name) => join(path, name));
}

/** Whoever loads a file reports that it cannot be looked at. */
function isFileOrBroken(file: string): boolean {
  try {
    return statSync(file).isFile();
  } catch {
    return true;
  }
}
