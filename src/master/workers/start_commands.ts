/** The start commands of a configuration's workers. */
import type { StartCommand } from "../../worker_protocol/messages.ts";
import type { CountedNames } from "../../connection/counters.ts";
import type { ServedTls } from "../../certificates/served_tls.ts";
import { workerSettings } from "../../options/worker_settings.ts";
import { FIRST_SOCKET_FD } from "../../worker_protocol/command_line.ts";
import type { Claim } from "../listeners/listeners.ts";
import type { Prepared } from "../prepare.ts";
import type { TicketRing } from "../../tickets/ring.ts";

/** Returns one for each worker, which inherits `sockets` in this order. */
export function startCommands(
  prepared: Prepared,
  { fds }: Claim,
  sockets: readonly number[],
  { tickets, counted, accessLog }: {
    readonly tickets: TicketRing | undefined;
    /** There is one: its pipe follows the sockets. */
    readonly accessLog: boolean;
    readonly counted: CountedNames;
  },
): StartCommand[] {
  const { config, tls, backendTls, backend, backendSources, privileges } = prepared;
  const listeners = prepared.listeners.map(({ endpoint, frontend, activated }, i) => ({
    endpoint,
    frontend,
    activated: activated !== undefined,
    fds: fds[i]!.map((fd) => FIRST_SOCKET_FD + sockets.indexOf(fd)),
  }));
  const queues = Math.max(config.workers, ...fds.map((each) => each.length));
  return Array.from({ length: config.workers }, (_, index) => ({
    type: "start",
    slot: index + 1,
    serves: every(config.workers, index + 1, queues),
    settings: workerSettings(config),
    tls,
    ...(backendTls ? { backendTls } : {}),
    backend,
    backendSources,
    listeners,
    counted,
    ...(isMeasured(prepared) ? { measures: true } : {}),
    ...(accessLog ? { accessLog: FIRST_SOCKET_FD + sockets.length } : {}),
    ...(tickets ? { tickets } : {}),
    ...(privileges ? { privileges } : {}),
  }));
}

/**
 * Returns true if running workers can switch to the other configuration with new certificates
 * alone. What decides whether clients must present a certificate does not count as such, since
 * sessions must not outlive it.
 */
export function differsInCertificatesOnly(a: Prepared, b: Prepared): boolean {
  return JSON.stringify(withoutCertificates(a)) === JSON.stringify(withoutCertificates(b));
}

function withoutCertificates(prepared: Prepared) {
  const { config, tls, storeFd, backendTls, backendSources, listeners, privileges } = prepared;
  return {
    ...{ storeFd, accessLog: prepared.accessLog },
    settings: workerSettings(config),
    ...{ workers: config.workers, watchdog: config.watchdog },
    backend: config.backend,
    isMeasured: isMeasured(prepared),
    tls: parameters(tls),
    ...{ backendTls, backendSources, listeners, privileges },
  };
}

/** Whether there is an admin endpoint, which shows the histograms. */
function isMeasured({ admin }: Prepared): boolean {
  return admin !== undefined;
}

function parameters({ certificates, trusts, frontends, alpn }: ServedTls) {
  return {
    trusts,
    // Trust that differs by certificate would have to be compared name by name.
    trustsByName: certificates.filter(({ trust }) => trust !== undefined),
    frontends: frontends.map((frontend) => ({ ...frontend, own: [], global: [] })),
    alpn,
  };
}

/** `first`, and every `step`-th number after it up to `last`. */
function every(step: number, first: number, last: number): number[] {
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
}
