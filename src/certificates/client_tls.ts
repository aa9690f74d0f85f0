import { UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import type { BackendTls } from "../options/config.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { Capabilities } from "../runtime/capabilities.ts";
import { readAuthorities } from "./trust.ts";

/** The system's trusted CAs on Debian, on Fedora, and on Alpine and the BSDs. */
export const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
];

/**
 * Returns the settings for TLS to the backend with the CAs of the given file, or else the system's.
 * Adds what is not used in that file to `warnings`, one line each. Throws a UsageError.
 */
export function clientTls(
  backendTls: BackendTls,
  alpn: readonly string[],
  { backendTrust }: Pick<Capabilities, "backendTrust">,
  warnings: string[],
  bundles: readonly string[] = SYSTEM_BUNDLES,
): ClientTlsSettings {
  const { serverName, verify, ca, tls } = backendTls;
  const settings = { ...tls, serverName, verify, alpn };
  if (ca !== "") {
    const authorities = readAuthorities(ca, "--client-verify-ca", "servers");
    warnings.push(...authorities.warnings);
    return { ...settings, ca: authorities.pem };
  }
  return { ...settings, ca: verify && backendTrust ? readSystemBundle(bundles) : "" };
}

/** Returns the file unchecked, since the TLS library skips what it cannot read. */
function readSystemBundle(bundles: readonly string[]): string {
  for (const file of bundles) {
    try {
      return readFile(file).toString("latin1");
    } catch {
      // Try the next one.
    }
  }
  throw new UsageError(
    `cannot find the system's CAs to verify the backend in ${bundles.join(", ")}; ` +
      "install the package ca-certificates, or specify a file with --client-verify-ca",
  );
}
