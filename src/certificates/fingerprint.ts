/** Notices changed certificate files without reading them. */
import { createHash } from "node:crypto";
import type { ClientVerify, PemFile, Reads } from "../options/config.ts";
import { lookAt, lookInto } from "./files.ts";

/** Maximum number of files that are looked at at once: other work of the event loop comes in between. */
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
 * Returns a text that differs as soon as one of the files that the configuration's certificates and
 * secrets are loaded from was changed, replaced, removed or made readable, also behind symbolic
 * links, or a file was added to or removed from the directory of PEM files. Never rejected.
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
