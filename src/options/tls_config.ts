/** The parts of the configuration for certificates and handshakes. */
import type { TlsParameters } from "../runtime/tls.ts";
import type { Protocol } from "../runtime/tls.ts";
import { formatAddress } from "./address.ts";
import type { FrontendConfig, PemFile } from "./config.ts";
import type { ConfigContext } from "./config_context.ts";
import type { Collected } from "./collect.ts";
import type { FrontendSettings, FrontendValue, PemValue } from "./blocks.ts";
import { offeredVersions } from "./offered_versions.ts";
import type { NamedVersion } from "./tls_values.ts";
import { frontendVerify, pemVerify, type TrustName } from "./trust_config.ts";

/** Settings for certificates and handshakes; frontends can have most of them too. */
export type TlsName =
  | TrustName
  | "ciphers"
  | "ciphersuites"
  | "ecdh-curve"
  | "ocsp-verify-staple"
  | "pem-dir"
  | "prefer-server-ciphers"
  | "sni-nomatch-abort"
  | "ssl"
  | "tls"
  | "tls-protos";

type Parts = Collected<TlsName>;

/** Returns the parameters of handshakes: the frontend's own settings, else the global ones. */
export function tlsParameters(
  parts: Parts,
  own: FrontendSettings,
  context: ConfigContext,
): TlsParameters {
  const { settings } = parts;
  const curves = own["ecdh-curve"] ?? settings["ecdh-curve"];
  return {
    protocols: protocolsOf(parts, own, context),
    ciphers: own.ciphers ?? settings.ciphers,
    ciphersuites: own.ciphersuites ?? settings.ciphersuites,
    curves: curves === "auto" ? "" : curves,
    preferServerCiphers: own["prefer-server-ciphers"] ?? settings["prefer-server-ciphers"] ??
      context.build.capabilities.preferServerCiphers,
  };
}

function protocolsOf(
  { settings, origins }: Parts,
  own: FrontendSettings,
  { dialect, build }: ConfigContext,
): readonly Protocol[] {
  const all = build.capabilities.protocols;
  const modern: readonly Protocol[] = ["TLSv1.2", "TLSv1.3"];
  const tls = dialect === "hitch" ? all : modern;
  const offered = (named: readonly NamedVersion[]) =>
    offeredVersions(named, build.capabilities, settings.client);
  if (own["tls-protos"]) return offered(own["tls-protos"]);
  if (own.ssl) return all;
  if (own.tls) return tls;
  if (settings["tls-protos"]) return offered(settings["tls-protos"]);
  if (settings.ssl) return all;
  return settings.tls && origins.has("tls") ? tls : modern;
}

/** Returns one frontend with all its settings. Reports a frontend without any certificate. */
export function frontendConfig(
  parts: Parts,
  frontend: FrontendValue,
  isDefault: boolean,
  context: ConfigContext,
): FrontendConfig {
  const { settings } = parts;
  const { settings: own, pemFiles, listen } = frontend;
  const matchGlobalCerts = own["match-global-certs"] ?? pemFiles.length === 0;
  if (pemFiles.length === 0 && !matchGlobalCerts) {
    context.problems.push(
      `No certificate configured for frontend '${formatAddress(listen)}'; ` +
        "add a pem-file, or leave match-global-certs on",
    );
  } else if (
    pemFiles.length === 0 && !context.generatesCertificate && context.isComplete &&
    lacksGlobal(parts)
  ) {
    context.problems.push(
      missingCertificate(parts, isDefault ? "default" : formatAddress(listen), context),
    );
  }
  const pems = pemFiles.map((pem) => pemFile(parts, pem, context));
  return {
    listen,
    pemFiles: pems,
    matchGlobalCerts,
    sniNomatchAbort: own["sni-nomatch-abort"] ?? settings["sni-nomatch-abort"],
    tls: tlsParameters(parts, own, context),
    clientVerify: frontendVerify(parts, frontend, context),
  };
}

function lacksGlobal({ settings, rejected }: Parts): boolean {
  if (rejected.has("pem-file") || rejected.has("pem-dir")) return false;
  return !settings.client && settings["pem-file"].length === 0 && settings["pem-dir"] === "";
}

function missingCertificate({ settings }: Parts, name: string, { dialect }: ConfigContext): string {
  const original = "No x509 certificate PEM file specified";
  const remedy = "Specify at least one, or try stud --demo";
  if (dialect === "hitch") return `${original} for frontend '${name}'! ${remedy}`;
  if (settings.frontend.every(({ pemFiles }) => pemFiles.length === 0)) {
    return `${original}! ${remedy}`;
  }
  return `${original} for frontend '${name}'! Specify one for it, or one for all`;
}

/** Returns the files of a certificate. */
export function pemFile(parts: Parts, pem: PemValue, context: ConfigContext): PemFile {
  const { absolute } = context;
  const verify = pemVerify(parts, pem, context);
  return {
    cert: absolute(pem.cert),
    key: absolute(pem["private-key"]),
    ocspResponse: absolute(pem["ocsp-resp-file"]),
    ocspVerify: pem["ocsp-verify-staple"] ?? parts.settings["ocsp-verify-staple"],
    ...(verify && { clientVerify: verify }),
  };
}
