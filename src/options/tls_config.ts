/** The parts of the configuration about certificates and handshakes. */
import type { TlsParameters } from "../runtime/tls.ts";
import type { Protocol } from "../runtime/tls.ts";
import { formatAddress, isIpAddress } from "./address.ts";
import type { Build } from "./checks.ts";
import type { ClientVerify, FrontendConfig, PemFile } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Collected } from "./collect.ts";
import type { FrontendSettings, FrontendValue, PemValue } from "./blocks.ts";

/** Settings that certificates and handshakes are made from; frontends have most of them too. */
export type TlsName =
  | "ciphers"
  | "ciphersuites"
  | "client"
  | "client-verify"
  | "client-verify-ca"
  | "client-verify-crl"
  | "ecdh-curve"
  | "frontend"
  | "ocsp-verify-staple"
  | "pem-dir"
  | "pem-file"
  | "prefer-server-ciphers"
  | "sni-nomatch-abort"
  | "ssl"
  | "tls"
  | "tls-protos";

type Parts = Collected<TlsName>;

/** What a configuration depends on besides the settings, and what is found wrong with them. */
export interface ConfigContext {
  readonly dialect: Dialect;
  readonly build: Build;
  /** An absolute path for one as the user gave it; "" and undefined become "". */
  readonly absolute: (path: string | undefined) => string;
  /** Everything could be read, so that what is missing was not given. */
  readonly isComplete: boolean;
  /** A certificate is made on the spot. */
  readonly bringsCertificate: boolean;
  readonly isDirectory: (path: string) => boolean;
  readonly problems: string[];
  readonly warnings: string[];
}

/** What handshakes are negotiated from: the frontend's own settings, and the global ones. */
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
  const usual: readonly Protocol[] = ["TLSv1.2", "TLSv1.3"];
  const tls = dialect === "hitch" ? all : usual;
  if (own["tls-protos"]) return own["tls-protos"];
  if (own.ssl) return all;
  if (own.tls) return tls;
  if (settings["tls-protos"]) return settings["tls-protos"];
  if (settings.ssl) return all;
  return settings.tls && origins.has("tls") ? tls : usual;
}

const NO_CA = "Setting 'client-verify-ca' is required when configuring client-verify";

/** Reports a global mode of verification without CAs. */
export function checkGlobalVerify({ settings }: Parts, context: ConfigContext): void {
  const mode = settings["client-verify"] ?? "none";
  if (mode === "none" || settings["client-verify-ca"] || !context.isComplete) return;
  context.problems.push(`${NO_CA}; name the file`);
}

/** One frontend with all its settings. A frontend that nothing can serve is a mistake. */
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
      `No certificate configured for frontend '${hitchName(frontend)}'; ` +
        "give it a pem-file, or leave match-global-certs on",
    );
  } else if (
    pemFiles.length === 0 && !context.bringsCertificate && context.isComplete &&
    lacksGlobal(parts)
  ) {
    context.problems.push(noPem(parts, isDefault ? "default" : hitchName(frontend), context));
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

function lacksGlobal({ settings }: Parts): boolean {
  return !settings.client && settings["pem-file"].length === 0 && settings["pem-dir"] === "";
}

function noPem({ settings }: Parts, name: string, { dialect }: ConfigContext): string {
  const original = "No x509 certificate PEM file specified";
  const remedy = "Name at least one, or try stud --demo";
  if (dialect === "hitch") return `${original} for frontend '${name}'! ${remedy}`;
  if (settings.frontend.every(({ pemFiles }) => pemFiles.length === 0)) {
    return `${original}! ${remedy}`;
  }
  return `${original} for frontend '${name}'! Name one for it, or one for all`;
}

function frontendVerify(
  { settings }: Parts,
  frontend: FrontendValue,
  { absolute, problems, isComplete }: ConfigContext,
): ClientVerify {
  const own = frontend.settings;
  const mode = own["client-verify"] ?? settings["client-verify"] ?? "none";
  const ca = absolute(own["client-verify-ca"] ?? settings["client-verify-ca"]);
  if (own["client-verify"] && mode !== "none" && ca === "" && isComplete && !settings.client) {
    problems.push(
      `No 'client-verify-ca' configured for frontend '${hitchName(frontend)}'; name the file there`,
    );
  }
  return trust(mode, ca, absolute(own["client-verify-crl"] ?? settings["client-verify-crl"]));
}

/** A certificate's files. */
export function pemFile(
  { settings, blocks }: Parts,
  pem: PemValue,
  { absolute, dialect, problems, warnings }: ConfigContext,
): PemFile {
  const { origin } = blocks.get(pem)!;
  const mode = pem["client-verify"];
  const ca = absolute(pem["client-verify-ca"]);
  if (mode !== undefined && mode !== "none" && ca === "") {
    problems.push(
      dialect === "hitch"
        ? origin.tell("name the file in the same block", NO_CA)
        : origin.tell(`${NO_CA}; name the file in the same block`),
    );
  }
  if (mode === undefined && ca !== "") {
    warnings.push(origin.tell("client-verify-ca is not used without client-verify beside it"));
  }
  return {
    cert: absolute(pem.cert),
    key: absolute(pem["private-key"]),
    ocspResponse: absolute(pem["ocsp-resp-file"]),
    ocspVerify: pem["ocsp-verify-staple"] ?? settings["ocsp-verify-staple"],
    ...(mode && { clientVerify: trust(mode, ca, absolute(pem["client-verify-crl"])) }),
  };
}

function trust(mode: ClientVerify["mode"], ca: string, crl: string): ClientVerify {
  return mode === "none" ? { mode, ca: "", crl: "" } : { mode, ca, crl };
}

/** hitch shows a wildcard as the C library shows a null pointer. */
function hitchName({ listen }: FrontendValue): string {
  if (!isIpAddress(listen)) return formatAddress(listen);
  return `[${listen.host === "*" ? "(null)" : listen.host}]:${listen.port}`;
}
