import { statSync } from "node:fs";
import type { AccessLogPlan } from "../access_log/writer.ts";
import { clientTls } from "../certificates/client_tls.ts";
import type { CertificateSettings } from "../certificates/collect.ts";
import type { Certificates, CertificateSource } from "../certificates/certificates.ts";
import { readAuthorities } from "../certificates/trust.ts";
import { type AdminConfig, type AdminPlan, planAdmin } from "../admin/admin_plan.ts";
import type { Privileges } from "../system/ids.ts";
import type { ServedTls } from "../certificates/served_tls.ts";
import type { Dialect } from "../base/dialect.ts";
import { UsageError } from "../base/errors.ts";
import { formatEndpoint } from "../options/address.ts";
import type { ListenAddress, Reads, WorkerSettings } from "../options/config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ClientTlsSettings } from "../runtime/tls.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import type { ListenerSettings } from "../os/socket_options.ts";
import { distinct, type FrontendListener } from "./listeners/repeated.ts";
import { activatedListeners } from "./listeners/activated.ts";
import type { PassedSocket } from "../system/activation.ts";
import { errorText } from "../base/error_text.ts";
import { type PrivilegeConfig, privilegesOf } from "../system/privileges.ts";
import { readTicketSecret } from "../tickets/secret_file.ts";
import { adminConflicts, loops } from "./address_conflicts.ts";
import type { Wanted } from "./listeners/listeners.ts";
import { resolveOrKeep } from "../system/resolve.ts";
import type { BackendNameSettings } from "./backend/backend_name.ts";
import type { AffinityPlan } from "./listeners/affinity.ts";
import { type PeersPlan, planPeers } from "../sessions/session_peers_plan.ts";
import { assertLocal, checkSource } from "./listeners/sockets.ts";
import { planStapling, type StaplingPlan, type StaplingSettings } from "../ocsp/stapling.ts";
import type { TicketPlan } from "../tickets/tickets.ts";
import { tryTls } from "../certificates/try_tls.ts";

/** The settings that the master uses while a configuration is active. */
export type MasterSettings =
  & AffinityPlan
  & BackendNameSettings
  & ListenerSettings
  & TicketPlan["config"]
  & Reads<
    | "admin.readyBackend"
    | "certificateWarningDays"
    | "frontends"
    | "accessLog.facility"
    | "accessLog.output"
    | "limits.connections"
    | "log.file"
    | "log.level"
    | "maxGenerations"
    | "reloadDrainTimeout"
    | "sessions.cache"
    | "sessions.timeout"
    | "statsInterval"
    | "watchdog"
  >;

/** The settings that {@link prepare} uses. */
export type PrepareSettings =
  & MasterSettings
  & CertificateSettings
  & StaplingSettings
  & AdminConfig
  & { readonly privileges: PrivilegeConfig }
  & Reads<
    | "backendSources"
    | "engine"
    | "sessions.cachePeers"
    | "sessions.ticketSecretFile"
    | "sessions.ticketStoreCa"
  >;

/** A configuration with everything that it names loaded and resolved. */
export interface Prepared {
  readonly config: MasterSettings & WorkerSettings;
  readonly tls: ServedTls;
  /** The descriptor of the certificate store, for workers to inherit. */
  readonly storeFd: number;
  /** The sources of `tls.certificates`, in the same order. */
  readonly sources: readonly CertificateSource[];
  readonly stapling: StaplingPlan;
  /** In client mode. */
  readonly backendTls?: ClientTlsSettings;
  readonly backend: Endpoint;
  readonly backendSources: readonly IpEndpoint[];
  /** Every address to listen on, with the index of its frontend. */
  readonly listeners: readonly FrontendListener[];
  readonly privileges?: Privileges;
  /** The fleet's secret, which ticket keys are derived from. */
  readonly ticketSecret?: Uint8Array;
  /** The CAs that verify the ticket store, as PEM; absent: the public CAs. */
  readonly ticketStoreCa?: string;
  readonly cachePeers?: PeersPlan;
  readonly accessLog?: AccessLogPlan;
  /** Absent: there is no admin endpoint. */
  readonly admin?: AdminPlan;
  /** Warnings, one line each. */
  readonly warnings: readonly string[];
}

/** The dependencies of {@link prepare}; they live as long as the master. */
export interface PrepareContext {
  readonly runtime: Runtime;
  readonly certificates: Certificates;
  /** The sockets that the service manager passed. */
  readonly activated: readonly PassedSocket[];
}

/**
 * Loads the certificates, resolves the names and tries the TLS settings with the TLS library.
 * Leaves no socket open. Throws a UsageError with everything that is wrong. `isTest`: what only
 * prevents a start is a warning, since the configuration may be meant for another user.
 */
export async function prepare(
  dependencies: PrepareContext,
  config: PrepareSettings & WorkerSettings,
  isTest = false,
): Promise<Prepared> {
  const { runtime, certificates } = dependencies;
  const problems: string[] = [];
  const attempt = async <T>(action: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const loaded = certificates.load(config, runtime.capabilities);
  problems.push(...loaded.problems);
  const warnings = [...loaded.warnings];
  const backendTls = await attempt(() =>
    config.backendTls && clientTls(config.backendTls, config.alpn, runtime.capabilities, warnings)
  );
  await attempt(() => {
    const trial = backendTls ?? withoutTrust(runtime, config, warnings);
    warnings.push(...tryTls(runtime, config, loaded, trial));
  });
  const all = (await Promise.all(
    config.frontends.map(({ listen }, frontend) =>
      attempt(async () =>
        (await listenersAt(dependencies, config.dialect, listen, warnings)).map((wanted) => ({
          ...wanted,
          frontend,
        }))
      )
    ),
  )).flatMap((wanted) => wanted ?? []);
  const { listeners, ...repeated } = distinct(all, config.frontends);
  problems.push(...repeated.problems);
  warnings.push(...repeated.warnings);
  warnings.push(...dualStackWarning(runtime, config));
  const backend = await attempt(() => backendAt(runtime, config, warnings));
  if (backend) problems.push(...loops(runtime, listeners, backend));
  const backendSources = await attempt(() =>
    backend ? config.backendSources.map((from) => checkSource(runtime.libc, from, backend)) : []
  );
  const { ticketSecretFile, ticketStoreCa: storeCaFile } = config.sessions;
  const ticketSecret = await attempt(() =>
    ticketSecretFile === "" ? undefined : readTicketSecret(ticketSecretFile)
  );
  const storeCas = await attempt(() =>
    storeCaFile === "" ? undefined : readAuthorities(storeCaFile, "--ticket-store-ca", "servers")
  );
  warnings.push(...storeCas?.warnings ?? []);
  const identity = privilegesOf(config.privileges, config.dialect);
  problems.push(...identity.problems);
  warnings.push(...identity.warnings);
  if (!isTest) problems.push(...identity.refusals);
  else warnings.push(...identity.refusals.map((text) => `this user cannot start it: ${text}`));
  const { cachePeers: named } = config.sessions;
  const cachePeers = await attempt(() =>
    named && ticketSecret &&
    planPeers(runtime.libc, named, ticketSecret, identity.privileges, warnings)
  );
  const admin = await attempt(() => planAdmin(runtime.libc, config, identity.privileges, warnings));
  if (admin) problems.push(...adminConflicts(runtime, admin, listeners, backend));
  const stapling = await planStapling(runtime, config, loaded.sources, identity.privileges);
  problems.push(...stapling.problems);
  warnings.push(...stapling.warnings);
  if (problems.length > 0) throw new UsageError(problems);
  const accessLog = accessLogPlan(config, identity.privileges);
  return {
    config,
    tls: loaded.tls,
    storeFd: loaded.storeFd,
    sources: loaded.sources,
    stapling,
    ...(backendTls ? { backendTls } : {}),
    backend: backend!,
    backendSources: backendSources!,
    listeners,
    ...(identity.privileges ? { privileges: identity.privileges } : {}),
    ...(ticketSecret ? { ticketSecret } : {}),
    ...(storeCas ? { ticketStoreCa: storeCas.pem } : {}),
    ...(cachePeers ? { cachePeers } : {}),
    ...(accessLog ? { accessLog } : {}),
    ...(admin ? { admin } : {}),
    warnings,
  };
}

function accessLogPlan(
  { accessLog: { output, facility }, dialect }: PrepareSettings,
  privileges: Privileges | undefined,
): AccessLogPlan | undefined {
  if (output === "") return undefined;
  const ids = privileges && { uid: privileges.uid, gid: privileges.gid };
  return { output, dialect, facility, ...(ids ? { ids } : {}) };
}

/** Settings for TLS to the backend that can be tried although the CAs cannot be used. */
function withoutTrust(
  { capabilities }: Runtime,
  { backendTls, alpn }: PrepareSettings,
  warnings: string[],
): ClientTlsSettings | undefined {
  if (!backendTls || !capabilities.backendTrust) return undefined;
  return clientTls({ ...backendTls, verify: false, ca: "" }, alpn, capabilities, warnings);
}

/** The addresses of all frontends, for a message. */
export function frontendsText({ listeners }: Prepared): string {
  return listeners.map(({ endpoint }) => formatEndpoint(endpoint)).join(" ");
}

async function listenersAt(
  { runtime, activated }: PrepareContext,
  dialect: Dialect,
  listen: ListenAddress,
  warnings: string[],
): Promise<Wanted[]> {
  if ("path" in listen) {
    return [{ endpoint: { family: "unix", path: listen.path }, dualStack: false }];
  }
  if ("activated" in listen) return activatedListeners(activated, listen.activated);
  const dualStack = listen.host === "*";
  const endpoints = await resolveOrKeep(runtime.libc, listen, "--frontend", warnings);
  // `hitch --test` accepts the configuration of another machine; a start fails at the bind.
  if (dialect === "stud") endpoints.forEach((endpoint) => assertLocal(runtime.libc, endpoint));
  return endpoints.map((endpoint) => ({ endpoint, dualStack }));
}

function dualStackWarning({ capabilities }: Runtime, { frontends }: PrepareSettings): string[] {
  const isAny = frontends.some(({ listen }) => "host" in listen && listen.host === "::");
  if (!isAny || capabilities.adoptSockets) return [];
  return ["--frontend: on the Deno build [::] also accepts IPv4 connections"];
}

async function backendAt(
  { libc }: Runtime,
  { backend, privileges, dialect }: PrepareSettings,
  warnings: string[],
): Promise<Endpoint> {
  if (!("path" in backend)) {
    return (await resolveOrKeep(libc, backend, "--backend", warnings))[0]!;
  }
  const endpoint: Endpoint = { family: "unix", path: backend.path };
  if (backend.path.startsWith("@")) return endpoint;
  const path = `${privileges.chroot}${backend.path}`;
  const isSocket = isSocketAt(path);
  if (isSocket) return endpoint;
  const problem = isSocket === false
    ? `Invalid path '${path}': Not a socket.`
    : `Unable to stat path '${path}': No such file or directory`;
  // hitch requires it at start; a backend may start after its proxy.
  if (dialect === "hitch" || isSocket === false) throw new UsageError(`--backend: ${problem}`);
  warnings.push(`--backend: ${path} does not exist yet; connections fail until it does`);
  return endpoint;
}

/** Returns undefined if nothing is there. Throws a UsageError if that cannot be determined. */
function isSocketAt(path: string): boolean | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isSocket();
  } catch (error) {
    throw new UsageError(`--backend: Unable to stat path '${path}': ${errorText(error)}`);
  }
}
