/** The TLS settings and certificates are tried on the TLS library itself, before anything starts. */
import { readMaterial } from "../certificates/store.ts";
import type { LoadedTls } from "../certificates/tls_order.ts";
import type { FrontendTls, Trust } from "../certificates/served_tls.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import type { Reads } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { TlsSettings } from "../runtime/tls.ts";
import type { TlsParameters } from "../runtime/tls.ts";
import type { Identity } from "../runtime/tls.ts";

/**
 * Throws a UsageError with every certificate and every setting that the library refuses. `loaded`
 * has no problems. A certificate that was taken before is not tried again.
 */
export function tryTls(
  runtime: Runtime,
  config: Reads<"engine">,
  { tls, storeFd, sources, tried }: LoadedTls,
  backendTls: ClientTlsSettings | undefined,
): void {
  const problems: string[] = [];
  const attempt = (what: string, remedy: string, action: () => unknown) => {
    try {
      action();
    } catch (error) {
      problems.push(`${what}: refused by the TLS library (${reasonOf(error)}); ${remedy}`);
    }
  };
  if (config.engine !== "") {
    attempt("--ssl-engine", "name one that is installed", () => runtime.loadEngine(config.engine));
  }
  const create = (certificate: number, settings: TlsParameters, trust?: Trust) => {
    const { chain, key, dhParameters } = readMaterial(
      runtime.libc,
      storeFd,
      tls.certificates[certificate]!,
    );
    const identity: Identity = {
      certificates: [{ chain, key }],
      ...(dhParameters && runtime.capabilities.dhParameters ? { dhParameters } : {}),
      ...(trust && trust.mode !== "none" ? { verify: { ...trust, mode: trust.mode } } : {}),
    };
    runtime.createTlsContext(trialSettings(settings, identity, tls.alpn));
  };
  for (const [index, { file }] of sources.entries()) {
    const { offset } = tls.certificates[index]!;
    if (tried.has(offset)) continue;
    attempt(file.cert, "use another certificate or key", () => {
      create(index, PLAIN);
      tried.add(offset);
    });
  }
  if (problems.length === 0) {
    for (const frontend of tls.frontends) tryFrontend(frontend);
  }
  if (backendTls) {
    attempt("--client", "use other CAs or settings", () => runtime.createClientTls(backendTls));
  }
  if (problems.length > 0) throw new UsageError([...new Set(problems)]);

  /** Its settings one by one, so that the line can name the one that is refused. */
  function tryFrontend(frontend: FrontendTls): void {
    const certificate = [...frontend.global, ...frontend.own].at(-1);
    if (certificate === undefined) return;
    const { ciphers, ciphersuites, curves, protocols, preferServerCiphers } = frontend;
    const known = { ...PLAIN, protocols, preferServerCiphers };
    const trials: [string, string, TlsParameters][] = [
      ["--ciphers", "see openssl-ciphers(1) for the form of the list", { ...known, ciphers }],
      ["--ciphersuites", "write it as in TLS_AES_256_GCM_SHA384", { ...known, ciphersuites }],
      ["--ecdh-curve", "write it as in X25519:P-256", { ...known, curves }],
    ];
    for (const [option, remedy, settings] of trials) {
      attempt(option, remedy, () => create(certificate, settings));
    }
    const trust = tls.trusts[frontend.trust];
    attempt(
      "--client-verify-ca",
      "use another CA file or CRL",
      () => create(certificate, known, trust),
    );
  }
}

const PLAIN: TlsParameters = {
  protocols: ["TLSv1.2", "TLSv1.3"],
  ciphers: "",
  ciphersuites: "",
  curves: "",
  preferServerCiphers: false,
};

function trialSettings(
  settings: TlsParameters,
  identity: Identity,
  alpn: readonly string[],
): TlsSettings {
  return {
    ...settings,
    select: () => 0,
    identity: () => identity,
    choice: false,
    alpn,
    tickets: true,
    sessionTimeout: 7200,
  };
}
