/** What a worker logs of its connections: entries of the log, and lines of the access log. */
import process from "node:process";
import { connectionFacts } from "../access_log/connection_facts.ts";
import { shortText } from "../access_log/format.ts";
import type { AccessRecord } from "../access_log/record.ts";
import type { EventName } from "../base/events.ts";
import type { Log, LogEntry } from "../base/log_entry.ts";
import { OTHER } from "../connection/counters.ts";
import type { Connection } from "../connection/connection.ts";
import type { ConnectionFailure } from "../connection/failure.ts";
import { formatEndpoint } from "../options/address.ts";
import type { StartCommand } from "../worker_protocol/messages.ts";
import { accessRecord } from "./access_record.ts";
import type { AccessWriter } from "./access_writer.ts";

export interface ConnectionLogDependencies {
  readonly log: Log;
  /** The log level is 2. */
  isVerbose(): boolean;
  /** Absent: there is no access log. */
  readonly accessWriter: AccessWriter | undefined;
}

type Place = Pick<StartCommand, "slot" | "listeners" | "counted">;

export class ConnectionLog {
  private readonly dependencies: ConnectionLogDependencies;
  private readonly slot: number;
  /** The name of each frontend. */
  private readonly frontends: readonly string[];

  constructor(place: Place, dependencies: ConnectionLogDependencies) {
    this.dependencies = dependencies;
    this.slot = place.slot;
    this.frontends = place.counted.frontends.map((_, index) => frontendName(place, index));
  }

  /** Whether more is logged of the connection with this number than a failure. */
  observes(id: number): boolean {
    const { isVerbose, accessWriter } = this.dependencies;
    return isVerbose() || (accessWriter !== undefined && accessWriter.takes(id));
  }

  established(connection: Connection): void {
    if (!this.dependencies.isVerbose()) return;
    const name = connection.clientCommonName;
    const more = name === undefined ? {} : { clientCommonName: shortText(name) };
    this.logStage("connection-established", connection, "established", more);
  }

  failed(connection: Connection, failure: ConnectionFailure): void {
    const { log, isVerbose } = this.dependencies;
    const { id, clientName, facts } = connection;
    const { source, code, cause, detail } = failure;
    // Health checks come every second.
    if (code === "client-left" && !isVerbose()) return;
    const more = isVerbose() && detail ? ` (${detail})` : "";
    log({
      level: levelOf(failure),
      event: "connection-failed",
      message: `connection ${id} from ${clientName} failed, caused by ${source}: ${code}: ` +
        `${cause}${more}`,
      facts: { ...facts, source, code, cause, ...(detail ? { detail } : {}) },
    });
  }

  closed(connection: Connection): void {
    if (this.dependencies.isVerbose()) this.logStage("connection-closed", connection, "closed");
    this.writeLine(connection, false);
  }

  /** Logs what the exit of the worker cuts, and writes the last lines. */
  end(observed: Iterable<Connection>): void {
    for (const connection of observed) this.writeLine(connection, true);
    this.dependencies.accessWriter?.end();
  }

  private logStage(
    event: EventName,
    connection: Connection,
    what: "established" | "closed",
    more: LogEntry["facts"] = {},
  ): void {
    const { id, clientName, facts } = connection;
    const record = this.recordOf(connection, false);
    const known = record && connectionFacts(record, what);
    const message = `connection ${id} from ${clientName}: ${what}${known ? ` ${known.text}` : ""}`;
    this.dependencies.log({
      ...{ level: "debug", event, message },
      facts: { ...known?.facts, ...facts, ...more },
    });
  }

  private writeLine(connection: Connection, isStop: boolean): void {
    const { accessWriter } = this.dependencies;
    if (!accessWriter?.takes(connection.id)) return;
    const record = this.recordOf(connection, isStop);
    if (record) accessWriter.write(record);
  }

  private recordOf(connection: Connection, isStop: boolean): AccessRecord | undefined {
    const frontend = this.frontends[connection.frontend] ?? "";
    return accessRecord(connection, { frontend, worker: this.slot, pid: process.pid }, isStop);
  }
}

/** Returns a frontend's name in the metrics, or its address if these count it among others. */
function frontendName({ listeners, counted }: Place, index: number): string {
  const name = counted.frontends[index]!;
  const one = listeners.find(({ frontend }) => frontend === index);
  return name === OTHER && one ? formatEndpoint(one.endpoint) : name;
}

function levelOf({ source, code }: ConnectionFailure): LogEntry["level"] {
  if (code === "client-left") return "debug";
  return source === "internal" ? "error" : source === "limit" ? "info" : "warn";
}
