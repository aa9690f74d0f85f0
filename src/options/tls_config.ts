/** The parts of the configuration for certificates and handshakes. */
import type { TlsParameters } from "../runtime/tls.ts";
import type { Protocol } from "../runtime/tls.ts";
import { formatAddress } from "./address.ts";
import type { Build } from "./checks.ts";
import type { ClientVerify, FrontendConfig, PemFile } from "./config.ts";
import type { Dialect } from "../base/dialect.ts";
import type { Origin } from "./assignment.ts";
import type { Collected } from "./collect.ts";
import type { OptionName } from "./table.ts";
import type { FrontendSettings, FrontendValue, PemValue } from "./blocks.ts";
import { offeredVersions } from "./offered_versions.ts";
import type { NamedVersion } from "./values.ts";

/** Settings for certificates and handshakes; frontends can have most of them too. */
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

/** What a configuration depends on besides the settings, and lists for the problems found. */
export interface ConfigContext {
  readonly dialect: Dialect;
  readonly build: Build;
  /** Makes a path that the user gave absolute; "" and undefined become "". */
  readonly absolute: (path: string | undefined) => string;
  /** All files could be parsed, so a missing setting was not given. */
  readonly isComplete: boolean;
  /** A certificate is generated at start. */
  readonly generatesCertificate: boolean;
  /** Returns what a path is or lacks if it is no directory, such as `is not a directory`. */
  readonly directoryFault: (path: string) => string | undefined;
  readonly problems: string[];
  readonly warnings: string[];
}

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

const NO_CA = "Setting 'client-verify-ca' is required when configuring client-verify";

/**
 * Reports CAs and CRLs that nothing uses, since no --client-verify is given: everybody could
 * connect. hitch accepts them; `none` says that this is meant. In client mode stud's dialect
 * verifies the backend unless this is `none`.
 */
export function checkUnusedTrust(parts: Parts, context: ConfigContext): void {
  const { settings, blocks, origins, rejected } = parts;
  const { "client-verify": global, client, frontend: frontends } = settings;
  if ((client && context.dialect === "stud") || !context.isComplete) return;
  if (rejected.has("client-verify")) return;
  const pems = [...settings["pem-file"], ...frontends.flatMap(({ pemFiles }) => pemFiles)];
  const others = client ? [] : [...frontends.map(({ settings }) => settings), ...pems];
  if (global === undefined && others.every((other) => other["client-verify"] === undefined)) {
    reportUnused(origins, client ? "the backend is not verified" : OPEN, context);
  }
  if (client) return;
  for (const frontend of frontends) {
    if ((frontend.settings["client-verify"] ?? global ?? "none") !== "none") continue;
    if (frontend.settings["client-verify"] !== undefined) continue;
    reportUnused(blocks.get(frontend)!.origins, OPEN, context);
  }
  for (const pem of pems) {
    if (pem["client-verify"] !== undefined) continue;
    reportUnused(blocks.get(pem)!.origins, "they are not used for this certificate", context);
  }
}

const OPEN = "everybody can connect";

function reportUnused(
  origins: ReadonlyMap<OptionName, Origin>,
  effect: string,
  { problems }: ConfigContext,
): void {
  for (const name of ["client-verify-ca", "client-verify-crl"] as const) {
    const origin = origins.get(name);
    if (!origin) continue;
    problems.push(
      origin.message(
        `without client-verify ${effect}; add client-verify = required or optional here, or none ` +
          "if this is intended",
      ),
    );
    // One line is enough.
    return;
  }
}

/** Returns the files of CAs and of CRLs that the settings name, whether or not they are used. */
export function trustFiles(
  { settings }: Parts,
  { absolute }: ConfigContext,
): { readonly authorities: readonly string[]; readonly lists: readonly string[] } {
  const { frontend: frontends } = settings;
  const pems = [...settings["pem-file"], ...frontends.flatMap(({ pemFiles }) => pemFiles)];
  const scopes = [settings, ...frontends.map(({ settings }) => settings), ...pems];
  const files = (name: "client-verify-ca" | "client-verify-crl") =>
    [...new Set(scopes.flatMap((scope) => scope[name] ?? []))].map(absolute);
  return { authorities: files("client-verify-ca"), lists: files("client-verify-crl") };
}

/** Reports a global --client-verify without CAs. */
export function checkGlobalVerify({ settings, rejected }: Parts, context: ConfigContext): void {
  const mode = settings["client-verify"] ?? "none";
  if (rejected.has("client-verify-ca")) return;
  if (mode === "none" || settings["client-verify-ca"] || !context.isComplete) return;
  context.problems.push(`${NO_CA}; specify the file`);
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
      `No certificate configured for frontend '${frontendName(frontend)}'; ` +
        "add a pem-file, or leave match-global-certs on",
    );
  } else if (
    pemFiles.length === 0 && !context.generatesCertificate && context.isComplete &&
    lacksGlobal(parts)
  ) {
    context.problems.push(
      missingCertificate(parts, isDefault ? "default" : frontendName(frontend), context),
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

function frontendVerify(
  { settings, rejected }: Parts,
  frontend: FrontendValue,
  { absolute, problems, isComplete }: ConfigContext,
): ClientVerify {
  const own = frontend.settings;
  const mode = own["client-verify"] ?? settings["client-verify"] ?? "none";
  const ca = absolute(own["client-verify-ca"] ?? settings["client-verify-ca"]);
  const isGiven = ca !== "" || rejected.has("client-verify-ca");
  if (own["client-verify"] && mode !== "none" && !isGiven && isComplete && !settings.client) {
    problems.push(
      `No 'client-verify-ca' configured for frontend '${
        frontendName(frontend)
      }'; specify the file there`,
    );
  }
  return clientVerify(
    mode,
    ca,
    absolute(own["client-verify-crl"] ?? settings["client-verify-crl"]),
  );
}

/** Returns the files of a certificate. */
export function pemFile(
  { settings, blocks }: Parts,
  pem: PemValue,
  { absolute, dialect, problems }: ConfigContext,
): PemFile {
  const { origin } = blocks.get(pem)!;
  const mode = pem["client-verify"];
  const ca = absolute(pem["client-verify-ca"]);
  if (mode !== undefined && mode !== "none" && ca === "") {
    problems.push(
      dialect === "hitch"
        ? origin.message("specify the file in the same block", NO_CA)
        : origin.message(`${NO_CA}; specify the file in the same block`),
    );
  }
  return {
    cert: absolute(pem.cert),
    key: absolute(pem["private-key"]),
    ocspResponse: absolute(pem["ocsp-resp-file"]),
    ocspVerify: pem["ocsp-verify-staple"] ?? settings["ocsp-verify-staple"],
    ...(mode && { clientVerify: clientVerify(mode, ca, absolute(pem["client-verify-crl"])) }),
  };
}

function clientVerify(mode: ClientVerify["mode"], ca: string, crl: string): ClientVerify {
  // A missing CA is reported, and the result is not used.
  return mode === "none" || ca === "" ? { mode: "none", ca: "", crl: "" } : { mode, ca, crl };
}

function frontendName({ listen }: FrontendValue): string {
  return formatAddress(listen);
}
