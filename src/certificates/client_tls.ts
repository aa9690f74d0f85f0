import { UsageError } from "../base/errors.ts";
import { readFile } from "../base/read_file.ts";
import type { BackendTls } from "../options/config.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { Capabilities } from "../runtime/capabilities.ts";
import { readAuthorities } from "./trust.ts";

/** Where distributions have the CAs that the system trusts: Debian, Fedora, Alpine and BSDs. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
];

/**
 * The settings for TLS to the backend, with the CAs read: those of the given file, or else those
 * that the system trusts. Throws a UsageError.
 */
export function clientTls(
  backendTls: BackendTls,
  alpn: readonly string[],
  { backendTrust }: Pick<Capabilities, "backendTrust">,
  bundles: readonly string[] = SYSTEM_BUNDLES,
): ClientTlsSettings {
  const { serverName, verify, ca, tls } = backendTls;
  const settings = { ...tls, serverName, verify, alpn };
  if (ca !== "") return { ...settings, ca: readAuthorities(ca).map(({ pem }) => pem).join("") };
  return { ...settings, ca: verify && backendTrust ? readSystemBundle(bundles) : "" };
}

/** The TLS library passes over what it cannot read, so only the file is looked for. */
function readSystemBundle(bundles: readonly string[]): string {
  for (const file of bundles) {
    try {
      return readFile(file).toString("latin1");
    } catch {
      // The next one.
    }
  }
  throw new UsageError(
    `no CAs to verify the backend with are in ${bundles.join(", ")}; ` +
      "install the package ca-certificates, or name a file by --client-verify-ca",
  );
}
