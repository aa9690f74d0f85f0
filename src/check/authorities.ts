import { forOption, UsageError } from "../base/errors.ts";
import { derOf, readPem } from "../base/pem.ts";
import { readFile } from "../base/read_file.ts";
import { SYSTEM_BUNDLES } from "../certificates/client_tls.ts";
import { readAuthorities } from "../certificates/trust.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { Authorities } from "./chain.ts";

export interface NamedAuthorities {
  readonly authorities: Authorities;
  readonly file: string;
  /** One line each. */
  readonly warnings: readonly string[];
}

/** Reads the CAs of a file, or else the system's. Throws a UsageError. */
export function loadAuthorities(file: string | undefined): NamedAuthorities {
  if (file === undefined) return systemAuthorities();
  const { certificates, warnings } = forOption(
    "check: --ca",
    () => readAuthorities(file, "--ca", "servers"),
  );
  const parsed = certificates.flatMap(({ certificate }) => readable(certificate.raw));
  return { authorities: new Authorities(parsed), file, warnings };
}

/** Skips what cannot be read, as TLS libraries do. */
function systemAuthorities(): NamedAuthorities {
  for (const file of SYSTEM_BUNDLES) {
    let text;
    try {
      text = readFile(file);
    } catch {
      // Try the next one.
      continue;
    }
    const certificates = readPem(text).sections.flatMap((section) => readable(derOf(section)));
    return { authorities: new Authorities(certificates), file, warnings: [] };
  }
  throw new UsageError(
    `check: cannot find the system's CAs in ${SYSTEM_BUNDLES.join(", ")}; ` +
      "install the package ca-certificates, or specify a file with --ca",
  );
}

function readable(der: Uint8Array): Certificate[] {
  try {
    return [readCertificate(der)];
  } catch {
    return [];
  }
}
