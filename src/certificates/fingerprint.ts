/** Detects changed certificate files without reading them. */
import { createHash } from "node:crypto";
import type { ClientVerify, PemFile, Reads } from "../options/config.ts";
import { lookAt, lookInto } from "./files.ts";

/**
 * Maximum number of files inspected at once, so that the event loop can do other work in between.
 */
const AT_ONCE = 32;

/** The settings that name files. */
export type NamedFiles = Reads<
  | "backendTls"
  | "frontends"
  | "passphraseFile"
  | "pemDirectory"
  | "pemFiles"
  | "sessions.ticketSecretFile"
  | "sessions.ticketStoreCa"
>;

/** Returns a short text for the present state of a file. Never rejects. */
export type Look = (file: string) => Promise<string>;

/**
 * Returns a text that changes when a file with certificates or secrets of the configuration is
 * modified, replaced, removed or made readable, also behind symbolic links, or when a file is added
 * to or removed from the directory of PEM files. Never rejects.
 */
export async function fingerprintOf(config: NamedFiles, look: Look = lookAt): Promise<string> {
  const hash = createHash("sha256");
  const { pemDirectory } = config;
  const inDirectory = pemDirectory ? await lookInto(pemDirectory) : [];
  const files = [...namedFiles(config), ...inDirectory];
  for (let i = 0; i < files.length; i += AT_ONCE) {
    const some = files.slice(i, i + AT_ONCE);
    const found = await Promise.all(some.map(look));
    hash.update(some.map((file, at) => `${file}\0${found[at]}\0`).join(""));
  }
  return hash.digest("base64");
}

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
