/** What tells that a certificate file has changed, without reading it. */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs";
import { join } from "node:path";
import type { ClientVerify, PemFile, Reads } from "../options/config.ts";
import { globPattern } from "./glob.ts";

/** So many files are looked at side by side: other work of the event loop comes in between. */
const AT_ONCE = 32;

/** What names files. */
export type NamedFiles = Reads<
  | "backendTls"
  | "frontends"
  | "passphraseFile"
  | "pemDirectory"
  | "pemFiles"
  | "sessions.ticketSecretFile"
  | "sessions.ticketStoreCa"
>;

/** One file as it is now, in a few characters; never fails. */
export type Look = (file: string) => Promise<string>;

/**
 * Differs as soon as one of the files was changed, replaced, removed or made readable from which
 * the configuration's certificates and secrets are loaded, also behind symbolic links, or when a file comes
 * into or leaves the directory of PEM files. Never fails.
 */
export async function fingerprintOf(config: NamedFiles, look: Look = lookAt): Promise<string> {
  const hash = createHash("sha256");
  const files = [...namedFiles(config), ...await directoryFiles(config)];
  for (let i = 0; i < files.length; i += AT_ONCE) {
    const some = files.slice(i, i + AT_ONCE);
    const found = await Promise.all(some.map(look));
    hash.update(some.map((file, at) => `${file}\0${found[at]}\0`).join(""));
  }
  return hash.digest("base64");
}

/** What cannot be looked at is told by whoever loads it. */
const lookAt: Look = (file) =>
  new Promise((resolve) => {
    stat(file, { bigint: true }, (error, found) => {
      if (error) return resolve(String(error.code));
      const { dev, ino, size, mtimeNs, ctimeNs } = found;
      // A directory changes with all that is made in it.
      resolve(found.isFile() ? [dev, ino, size, mtimeNs, ctimeNs].join(":") : "no file");
    });
  });

function namedFiles(config: NamedFiles): string[] {
  const { pemFiles, frontends, backendTls, passphraseFile, sessions } = config;
  const all = [
    ...[...pemFiles, ...frontends.flatMap((frontend) => frontend.pemFiles)].flatMap(filesOf),
    ...frontends.flatMap(({ clientVerify }) => verifyFiles(clientVerify)),
    backendTls?.ca ?? "",
    passphraseFile,
    ...[sessions.ticketSecretFile, sessions.ticketStoreCa],
  ];
  return [...new Set(all)].filter((file) => file !== "");
}

function filesOf({ cert, key, ocspResponse, clientVerify }: PemFile): string[] {
  return [cert, key, ocspResponse, ...(clientVerify ? verifyFiles(clientVerify) : [])];
}

function verifyFiles({ ca, crl }: ClientVerify): string[] {
  return [ca, crl];
}

function directoryFiles({ pemDirectory }: NamedFiles): Promise<string[]> {
  if (!pemDirectory) return Promise.resolve([]);
  const { path, glob } = pemDirectory;
  const pattern = globPattern(glob === "" ? "*" : glob);
  return new Promise((resolve) => {
    readdir(path, (error, names) => {
      const found = error ? [] : names.filter((name) => pattern.test(name)).sort();
      resolve(found.map((name) => join(path, name)));
    });
  });
}
