import type { AccessRecord } from "../access_log/record.ts";
import type { Connection } from "../connection/connection.ts";

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
  isStop: boolean,
): AccessRecord | undefined {
  const { observed, measured, address, id, uniqueId } = connection;
  if (!observed || !measured) return undefined;
  const { tls, failure, subject, backend, endedBy = "client" } = observed;
  const stopped = isStop ? { reason: "stopped", by: "stop" } : undefined;
  const { reason, by } = failure
    ? { reason: failure.code, by: failure.source }
    : stopped ?? { reason: "closed", by: endedBy };
  return {
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
  };
}

/** With microseconds. */
function seconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds * 1000) / 1e6;
}
