import { CertificateSelector } from "../certificates/selector.ts";
import { readMaterial } from "../certificates/store.ts";
import type { ClientTrust } from "../connection/client_trust.ts";
import type { ServedTls } from "../certificates/served_tls.ts";
import type { Reads } from "../options/config.ts";
import type { Staples } from "../ocsp/staples.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TlsContext } from "../runtime/tls.ts";
import type { TicketKeyring } from "../runtime/tls.ts";
import type { SessionStore } from "../runtime/tls.ts";
import type { Identity } from "../runtime/tls.ts";
import { STORE_FD } from "../worker_protocol/command_line.ts";

/** A frontend's TLS: the context for its listeners; `trust` if it requests client certificates. */
export interface FrontendContext {
  readonly context: TlsContext;
  readonly trust?: ClientTrust;
}

/** What the frontends of a worker share, besides certificates. */
export interface FrontendDependencies {
  readonly staples: Staples;
  readonly sessions: Reads<"sessions.cache" | "sessions.tickets" | "sessions.timeout">["sessions"];
  /** Absent if the TLS library has its own. */
  readonly ticketKeys: TicketKeyring | undefined;
  readonly sharedSessions: SessionStore;
  /** A client sent a server name. */
  readonly nameRequested: () => void;
}

/**
 * Returns the TLS state of each frontend. A certificate is read from the store when the first
 * client needs it. Throws an Error with the TLS library's reason.
 */
export function frontendContexts(
  runtime: Runtime,
  tls: ServedTls,
  { staples, sessions, ticketKeys, sharedSessions, nameRequested }: FrontendDependencies,
): FrontendContext[] {
  return tls.frontends.map((frontend, index) => {
    const selector = new CertificateSelector(tls, index, runtime.capabilities.dualCertificates);
    const { isMixed, choice, verifies } = selector;
    const context = runtime.createTlsContext({
      ...frontend,
      alpn: tls.alpn,
      choice,
      verifies,
      // BoringSSL and OpenSSL resume a session under any name of the listener.
      tickets: sessions.tickets && !isMixed,
      sessionTimeout: sessions.timeout,
      ...(ticketKeys ? { ticketKeys } : {}),
      ...(sessions.cache > 0 && !isMixed ? { sessions: sharedSessions } : {}),
      select(serverName) {
        nameRequested();
        return selector.select(serverName);
      },
      identity: (number) => identity(runtime, tls, staples, selector.material(number)),
    });
    if (tls.trusts.every(({ mode }) => mode === "none")) return { context };
    const verifyMode = (serverName: string) => {
      const number = selector.select(serverName) ?? selector.select("")!;
      return selector.material(number).trust.mode;
    };
    return { context, trust: { verifyMode, isMixed } };
  });
}

function identity(
  { libc, capabilities }: Runtime,
  tls: ServedTls,
  staples: Staples,
  { certificates, trust }: ReturnType<CertificateSelector["material"]>,
): Identity {
  const materials = certificates.map((place) =>
    readMaterial(libc, STORE_FD, tls.certificates[place]!)
  );
  const dhParameters = materials.find((material) => material.dhParameters)?.dhParameters;
  const { mode } = trust;
  return {
    certificates: materials.map(({ chain, key }) => ({ chain, key })),
    ...(dhParameters && capabilities.dhParameters ? { dhParameters } : {}),
    ...(mode === "none" ? {} : { verify: { ...trust, mode } }),
    // With two certificates it is not known in time which one the client gets.
    ...(capabilities.staples && certificates.length === 1
      ? { staple: () => staples.get(certificates[0]!) }
      : {}),
  };
}
