import type { AccessRecord } from "../access_log/record.ts";
import type { Connection } from "../connection/connection.ts";
import { formatEndpoint } from "../options/address.ts";
import type { StartCommand } from "../worker_protocol/messages.ts";

/** The worker's part of a record. */
export interface RecordPlace {
  /** The frontend's address. */
  readonly frontend: string;
  readonly worker: number;
  readonly pid: number;
}

/**
 * Returns what is known of a connection now, or undefined if it is not observed. `isStop`: it is cut
 * because the worker exits.
 */
export function accessRecord(
  connection: Connection,
  place: RecordPlace,
  isStop = false,
): AccessRecord | undefined {
  const { observed, measured, address, id, uniqueId } = connection;
  if (!observed || !measured) return undefined;
  const { tls, failure, subject, backend, endedBy = "client" } = observed;
  const stopped = isStop ? { reason: "stopped", by: "stop" } : undefined;
  const { reason, by } = failure
    ? { reason: failure.code, by: failure.source }
    : stopped ?? { reason: "closed", by: endedBy };
  return known({
    time: Date.now(),
    client: address,
    frontend: place.frontend,
    service: "default",
    sni: tls.serverName,
    alpn: tls.alpn,
    version: tls.version,
    cipher: tls.cipher,
    resumed: tls.resumed,
    subject,
    backend,
    received: measured.received,
    sent: measured.sent,
    handshake: seconds(measured.handshakeMs),
    connect: seconds(measured.connectMs),
    total: seconds(measured.totalMs ?? measured.elapsedMs(performance.now()))!,
    reason,
    by,
    worker: place.worker,
    pid: place.pid,
    connection: id,
    uniqueId,
  });
}

/** Returns a frontend's listening address, or its name in the metrics if it has several. */
export function frontendName({ listeners, counted }: StartCommand, index: number): string {
  const [one, ...others] = listeners.filter(({ frontend }) => frontend === index);
  if (one && others.length === 0) return formatEndpoint(one.endpoint);
  return counted.frontends[index] ?? "";
}

/** With microseconds. */
function seconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds * 1000) / 1e6;
}

/** A record in which what is unknown may be undefined. */
type Loose = { readonly [K in keyof AccessRecord]: AccessRecord[K] | undefined };

function known(record: Loose): AccessRecord {
  return Object.fromEntries(
    Object.entries(record).filter(([, value]) => value !== undefined),
  ) as unknown as AccessRecord;
}
