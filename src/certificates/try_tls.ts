/** Tries TLS settings and certificates with the TLS library, before anything starts. */
import { createHash, X509Certificate } from "node:crypto";
import { readMaterial } from "./store.ts";
import { unsupportedCurve } from "./strength.ts";
import { localhostCertificate } from "./localhost.ts";
import type { LoadedTls } from "./certificates.ts";
import type { FrontendTls, Trust } from "./served_tls.ts";
import { rareCurve } from "../base/certificate_strength.ts";
import { reasonOf, UsageError } from "../base/errors.ts";
import type { Reads } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { TlsSettings } from "../runtime/tls.ts";
import type { TlsParameters } from "../runtime/tls.ts";
import type { Identity } from "../runtime/tls.ts";

/**
 * Tries each certificate, and the settings of each frontend, with another certificate if those of
 * the frontend could not be loaded. What the library accepted before is not tried again. Returns
 * warnings of what it passed over in lists, one line each. Throws a UsageError with everything that
 * it refuses.
 */
export function tryTls(
  runtime: Runtime,
  config: Reads<"backendTls" | "engine">,
  { tls, storeFd, sources, tried }: LoadedTls,
  backendTls: ClientTlsSettings | undefined,
): string[] {
  const problems: string[] = [];
  const warnings: string[] = [];
  const attempt = (what: string, remedy: string, action: () => unknown) => {
    try {
      action();
    } catch (error) {
      if (error instanceof UsageError) problems.push(...error.problems);
      else problems.push(`${what}: refused by the TLS library (${wordsOf(error)}); ${remedy}`);
    }
  };
  if (config.engine !== "" && runtime.capabilities.engines) {
    attempt(
      "--ssl-engine",
      "specify one that is installed",
      () => runtime.loadEngine(config.engine),
    );
  }
  const create = (certificate: number | undefined, trial: Trial) => {
    const stored = certificate === undefined ? undefined : tls.certificates[certificate]!;
    const name = `${stored?.offset} ${trial.digest}`;
    if (tried.has(name)) return;
    const { chain, key, dhParameters } = stored
      ? readMaterial(runtime.libc, storeFd, stored)
      : substitute();
    const { settings, alpn, trust } = trial;
    const identity: Identity = {
      certificates: [{ chain, key }],
      ...(dhParameters && runtime.capabilities.dhParameters ? { dhParameters } : {}),
      ...(trust && trust.mode !== "none" ? { verify: { ...trust, mode: trust.mode } } : {}),
    };
    runtime.createTlsContext(trialSettings(settings, identity, alpn));
    tried.add(name);
  };
  const plain = trialOf(PLAIN, []);
  for (const [index, { file, chain }] of sources.entries()) {
    attempt(file.cert, "use another certificate or key", () => {
      try {
        create(index, plain);
      } catch (error) {
        const curve = rareCurve(new X509Certificate(chain()).raw);
        throw curve === undefined ? error : unsupportedCurve(file.cert, curve);
      }
    });
  }
  if (problems.length === 0 && !config.backendTls) {
    for (const frontend of tls.frontends) tryFrontend(frontend);
  }
  if (backendTls) {
    attempt("--client", "use other CAs or settings", () => {
      runtime.createClientTls(backendTls);
      warnOf(backendTls);
    });
  }
  if (problems.length > 0) throw new UsageError([...new Set(problems)]);
  return [...new Set(warnings)];

  function warnOf(settings: TlsParameters): void {
    const { ciphers, ciphersuites, curves } = runtime.passedOver(settings);
    if (ciphers !== "") warnings.push(`--ciphers: passed over ${ciphers}`);
    if (ciphersuites !== "") warnings.push(`--ciphersuites: passed over ${ciphersuites}`);
    if (curves !== "") warnings.push(`--ecdh-curve: passed over ${curves}`);
  }

  /** Tries each setting separately, so that the error names the one that is refused. */
  function tryFrontend(frontend: FrontendTls): void {
    const certificate = [...frontend.global, ...frontend.own].at(-1);
    const { ciphers, ciphersuites, curves, protocols, preferServerCiphers } = frontend;
    const known = { ...PLAIN, protocols, preferServerCiphers };
    const trials: [string, string, TlsParameters][] = [
      ["--ciphers", "see openssl-ciphers(1) for the form of the list", { ...known, ciphers }],
      ["--ciphersuites", "write it as in TLS_AES_256_GCM_SHA384", { ...known, ciphersuites }],
      ["--ecdh-curve", "write it as in X25519:P-256", { ...known, curves }],
    ];
    for (const [option, remedy, settings] of trials) {
      attempt(option, remedy, () => {
        create(certificate, trialOf(settings, tls.alpn));
        warnOf(settings);
      });
    }
    const verifying = trialOf(known, tls.alpn, tls.trusts[frontend.trust]);
    attempt(
      "--client-verify-ca",
      "use another CA file or CRL",
      () => create(certificate, verifying),
    );
  }
}

/** OpenSSL and BoringSSL have a code for a list whose exclusions leave nothing. */
function wordsOf(error: unknown): string {
  const reason = reasonOf(error);
  return /no[ _]cipher[ _]match/i.test(reason) ? "nothing is left of it" : reason;
}

/** Settings can also be tried if no certificate can be loaded. */
function substitute(): Identity["certificates"][number] & { readonly dhParameters?: undefined } {
  const { certificate, key } = localhostCertificate();
  return { chain: certificate, key };
}

/** The settings to try a certificate with. */
interface Trial {
  readonly settings: TlsParameters;
  readonly alpn: readonly string[];
  readonly trust: Trust | undefined;
  /** A hash of the other members. */
  readonly digest: string;
}

function trialOf(settings: TlsParameters, alpn: readonly string[], trust?: Trust): Trial {
  const text = JSON.stringify([settings, alpn, trust]);
  const digest = createHash("sha256").update(text).digest("base64");
  return { settings, alpn, trust, digest };
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
    verifies: identity.verify !== undefined,
    alpn,
    tickets: true,
    sessionTimeout: 7200,
  };
}
