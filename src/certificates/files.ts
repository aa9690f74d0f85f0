/** Inspects the files and directories of certificates without reading them. */
import { existsSync, readdir, readdirSync, stat, statSync } from "node:fs";
import { join } from "node:path";
import { fileStamp } from "../base/file_stamp.ts";
import { notRegular, withFileError } from "../base/read_file.ts";
import type { PemDirectory } from "../options/config.ts";
import { globPattern } from "./glob.ts";

/**
 * Returns a text that changes when the file is replaced or modified; it follows symbolic links. The
 * text for a pipe never changes, since a pipe can be read only once. Throws a FileError if it is
 * neither a regular file nor a pipe.
 */
export function stampOf(file: string): string {
  const found = withFileError(file, () => statSync(file, { bigint: true }));
  if (found.isFile()) return fileStamp(found);
  if (found.isFIFO()) return [found.dev, found.ino].join(":");
  throw notRegular(file, found.isDirectory());
}

/** Returns the same without blocking, or why there is no regular file. Never rejects. */
export function lookAt(file: string): Promise<string> {
  return new Promise((resolve) => {
    stat(file, { bigint: true }, (error, found) => {
      // Loading it reports the error.
      if (error) return resolve(String(error.code));
      // A directory's times change whenever a file is created in it.
      resolve(found.isFile() ? fileStamp(found) : "no file");
    });
  });
}

/**
 * Returns the paths of the regular files in a directory whose names match its glob, sorted by the
 * bytes of the names. It follows symbolic links and includes broken ones. Throws a FileError.
 */
export function listDirectory(directory: PemDirectory): string[] {
  const { path } = directory;
  return matching(directory, withFileError(path, () => readdirSync(path))).filter(isFileOrBroken);
}

/** Returns all matching paths without blocking, or none if the directory cannot be read. */
export function lookInto(directory: PemDirectory): Promise<string[]> {
  return new Promise((resolve) => {
    readdir(directory.path, (error, names) => resolve(error ? [] : matching(directory, names)));
  });
}

/** A certificate and its key in files of their own. */
export interface FilePair {
  readonly cert: string;
  readonly key: string;
}

/** Returns the files in a directory that certbot wrote, or undefined if it is none. */
export function pairIn(directory: string): FilePair | undefined {
  const pair = { cert: join(directory, "fullchain.pem"), key: join(directory, "privkey.pem") };
  return existsSync(pair.cert) && existsSync(pair.key) ? pair : undefined;
}

/** Returns those in the first directory inside of this one that has any, or undefined. */
export function pairBelow(directory: string): FilePair | undefined {
  for (const name of readdirSync(directory).toSorted()) {
    const pair = pairIn(join(directory, name));
    if (pair) return pair;
  }
  return undefined;
}

/** Returns what to do with such files. */
export function pairRemedy({ cert, key }: FilePair): string {
  return "write into the configuration file: " +
    `pem-file = { cert = "${cert}" private-key = "${key}" }`;
}

export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function matching({ path, glob }: PemDirectory, names: readonly string[]): string[] {
  const pattern = globPattern(glob === "" ? "*" : glob);
  const found = names.filter((name) => pattern.test(name));
  found.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return found.map((name) => join(path, name));
}

/** True also for a path that cannot be inspected: loading it reports the error. */
function isFileOrBroken(file: string): boolean {
  try {
    return statSync(file).isFile();
  } catch {
    return true;
  }
}
