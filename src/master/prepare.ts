import { readFileSync } from "node:fs";
import { parseBundle, validityWarning } from "../certificates/pem.ts";
import type { NamedCertificate } from "../control/messages.ts";
import { UsageError } from "../errors.ts";
import type { Config } from "../options/config.ts";
import type { IpEndpoint, Runtime } from "../runtime/types.ts";
import { checkSource } from "./sockets.ts";
import { resolve } from "./resolve.ts";

/** A configuration with everything looked up that it names. */
export interface Prepared {
  readonly config: Config;
  readonly certificates: readonly NamedCertificate[];
  readonly backend: IpEndpoint;
  readonly backendSources: readonly IpEndpoint[];
  readonly endpoints: readonly IpEndpoint[];
  /** Single lines for the operator. */
  readonly warnings: readonly string[];
}

/**
 * Reads the certificates, resolves the names and tries the TLS settings on the TLS library itself.
 * Changes nothing and opens nothing. Throws a UsageError for the first mistake.
 */
export async function prepare(
  runtime: Runtime,
  config: Config,
  certificates: readonly NamedCertificate[] = config.pemFiles.map(readBundle),
): Promise<Prepared> {
  tryTls(runtime, config, certificates);
  const [backend] = await resolve(runtime.libc, config.backend, "--backend");
  const backendSources = config.backendSources.map((address) =>
    checkSource(runtime.libc, address, backend!)
  );
  const endpoints: IpEndpoint[] = [];
  for (const frontend of config.frontends) {
    endpoints.push(...await resolve(runtime.libc, frontend, "--frontend"));
  }
  const now = new Date();
  const warnings = config.pemFiles.flatMap((file, i) =>
    validityWarning(certificates[i]!, file, now) ?? []
  );
  return { config, certificates, backend: backend!, backendSources, endpoints, warnings };
}

function readBundle(file: string): NamedCertificate {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "unknown";
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file; check the path",
      EACCES: "it may not be read; give this user the right to read it",
      EISDIR: "it is a directory; name the PEM file in it",
    };
    throw new UsageError(`${file}: ${reasons[String(code)] ?? `it cannot be read (${code})`}`);
  }
  return parseBundle(text, file);
}

/** The certificates one by one first, so that the line can name the file that is refused. */
function tryTls(
  runtime: Runtime,
  config: Config,
  certificates: readonly NamedCertificate[],
): void {
  const { protocols, preferServerCiphers } = config;
  const create = (certificate: NamedCertificate, ciphers: string) => {
    const settings = { protocols, ciphers, preferServerCiphers, select: () => 0 };
    runtime.createTlsContext({ ...settings, certificates: [certificate] });
  };
  for (const [index, certificate] of certificates.entries()) {
    const file = config.pemFiles[index] ?? "certificate";
    attempt(file, "use another certificate or key", () => create(certificate, ""));
  }
  if (config.ciphers === "") return;
  const remedy = "see openssl-ciphers(1) for the form of the list";
  attempt("--ciphers", remedy, () => create(certificates[0]!, config.ciphers));
}

function attempt(what: string, remedy: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new UsageError(`${what}: refused by the TLS library (${reason}); ${remedy}`);
  }
}
