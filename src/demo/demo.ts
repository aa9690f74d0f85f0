import { chmodSync } from "node:fs";
import { cString } from "../os/structures.ts";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { localhostCertificate } from "../certificates/localhost.ts";
import { formatAddress } from "../options/address.ts";
import type { Config, ListenAddress, PemFile } from "../options/config.ts";
import type { Libc } from "../os/libc.ts";
import { lookUpUser } from "../system/users.ts";
import { startBackend } from "./backend.ts";

/** A complete service for trying stud. */
export interface Demo {
  readonly config: Config;
  /** What to print for the user. */
  readonly invitation: string;
}

/** Makes a certificate for localhost and starts a backend that returns what it receives. */
export async function demo(given: Config, libc: Libc): Promise<Demo> {
  const port = await startBackend();
  const [frontend] = given.frontends;
  const isRoot = process.getuid?.() === 0;
  const config: Config = {
    ...given,
    backend: { host: "127.0.0.1", port },
    pemFiles: [makeCertificate(libc)],
    // It is valid for a day.
    certificateWarningDays: 0,
    prefix: given.prefix === "none" ? "proxy-v2" : given.prefix,
    // No worker needs to be root.
    ...(isRoot ? { privileges: { ...given.privileges, user: unprivilegedUser() } } : {}),
  };
  return {
    config,
    invitation: `\nstud is running. Try it:\n\n    ${
      curlLine(frontend!.listen)
    }\n\nPress Ctrl-C to stop it.\n`,
  };
}

/** `nobody`, or its usual number where no file lists users. */
function unprivilegedUser(): string {
  return lookUpUser("nobody") ? "nobody" : "65534";
}

function curlLine(listen: ListenAddress): string {
  if (!("host" in listen)) {
    return `curl -k --unix-socket ${formatAddress(listen)} https://localhost/`;
  }
  const host = listen.host === "*" ? "localhost" : listen.host;
  return `curl -k https://${host.includes(":") ? `[${host}]` : host}:${listen.port}/`;
}

/** Only for the names of this machine; it exists as long as the process. */
function makeCertificate(libc: Libc): PemFile {
  const { certificate, key } = localhostCertificate();
  return {
    cert: memoryFile(libc, certificate + key),
    ...{ key: "", ocspResponse: "", ocspVerify: false },
  };
}

/** Returns the path of a file in memory, which exists as long as the process. */
function memoryFile(libc: Libc, text: string): string {
  const bytes = new TextEncoder().encode(text);
  const fd = libc.memfd_create(cString("stud demo"), MFD_CLOEXEC);
  libc.fchmod(fd, 0o600);
  if (libc.write(fd, bytes, bytes.length) !== bytes.length) {
    throw new Error("cannot write a file in memory");
  }
  const path = `/proc/self/fd/${fd}`;
  chmodSync(path, 0o600);
  return path;
}
