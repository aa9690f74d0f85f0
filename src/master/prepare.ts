import { readFileSync } from "node:fs";
import { parseBundle, validityWarning } from "../certificates/pem.ts";
import { certificateSelector } from "../certificates/sni.ts";
import type { NamedCertificate } from "../control/messages.ts";
import { UsageError } from "../errors.ts";
import type { Config } from "../options/config.ts";
import type { IpEndpoint, Runtime } from "../runtime/types.ts";
import { resolve } from "./resolve.ts";

/** A configuration with everything looked up that it names. */
export interface Prepared {
  readonly config: Config;
  readonly certificates: readonly NamedCertificate[];
  readonly backend: IpEndpoint;
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
  const endpoints: IpEndpoint[] = [];
  for (const frontend of config.frontends) {
    endpoints.push(...await resolve(runtime.libc, frontend, "--frontend"));
  }
  const now = new Date();
  const warnings = config.pemFiles.flatMap((file, i) =>
    validityWarning(certificates[i]!, file, now) ?? []
  );
  return { config, certificates, backend: backend!, endpoints, warnings };
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
  const { protocols, ciphers, preferServerCiphers } = config;
  for (const [index, certificate] of certificates.entries()) {
    attempt(config.pemFiles[index] ?? "certificate", "use another certificate or key", () => {
      const plain = { protocols, ciphers: "", preferServerCiphers };
      runtime.createTlsContext({ certificates: [certificate], select: () => 0, ...plain });
    });
  }
  if (ciphers === "") return;
  attempt("--ciphers", "see openssl-ciphers(1) for the form of the list", () => {
    const select = certificateSelector(certificates);
    runtime.createTlsContext({ certificates, select, protocols, ciphers, preferServerCiphers });
  });
}

function attempt(what: string, remedy: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new UsageError(`${what}: refused by the TLS library (${reason}); ${remedy}`);
  }
}
