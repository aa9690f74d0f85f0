/** Streams without sockets, for tests of connections. */
import { HandClock } from "./hand_clock.ts";
import { Connections } from "../../src/connection/connections.ts";
import type { ConnectionSettings } from "../../src/connection/settings.ts";
import { start } from "./parse.ts";
import { workerSettings } from "../../src/options/worker_settings.ts";
import type { ConnectionFailure } from "../../src/connection/failure.ts";
import type { Connection } from "../../src/connection/connection.ts";
import type { ClientTlsContext, TlsFacts } from "../../src/runtime/tls.ts";
import type { Stream, StreamHandler } from "../../src/runtime/stream.ts";
import type { Endpoint, IpEndpoint } from "../../src/os/endpoint.ts";

/** A stream that records calls. */
export class FakeStream implements Stream {
  handler: StreamHandler;
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly facts: TlsFacts;
  /** `write`, `finish`, `reset` … in order. */
  readonly calls: string[] = [];
  readonly written: Uint8Array[] = [];
  peerHasSent = true;
  /** The argument of `startTls`. */
  early: Uint8Array | undefined;

  isSending = false;
  isAcknowledged = true;
  hasCloseNotify: boolean | undefined;
  /** What `write` returns. */
  hasRoom = true;

  constructor(handler: StreamHandler, remote: Endpoint, local: Endpoint, facts: TlsFacts = {}) {
    this.handler = handler;
    this.remote = remote;
    this.local = local;
    this.facts = facts;
  }

  write(bytes: Uint8Array): boolean {
    this.calls.push("write");
    this.written.push(new Uint8Array(bytes));
    return this.hasRoom;
  }

  isDelivered(): boolean {
    return this.isAcknowledged;
  }

  hasPeerSent(): boolean {
    return this.peerHasSent;
  }

  pause(): void {
    this.calls.push("pause");
  }

  resume(): void {
    this.calls.push("resume");
  }

  finish(): void {
    this.calls.push("finish");
  }

  close(): void {
    this.calls.push("close");
  }

  reset(): void {
    this.calls.push("reset");
  }

  get isResumed(): boolean | undefined {
    return this.facts.resumed;
  }

  get tlsVersion(): string | undefined {
    return this.facts.version;
  }

  get alpn(): string | undefined {
    return this.facts.alpn;
  }

  tls(): TlsFacts {
    return this.facts;
  }

  startTls(early: Uint8Array): void {
    this.calls.push("startTls");
    this.early = new Uint8Array(early);
  }
}

/** A requested connect. */
export interface FakeConnect {
  readonly stream: FakeStream;
  readonly source: IpEndpoint | undefined;
  readonly tls: ClientTlsContext | undefined;
}

/** An address of the networks for documentation (RFC 5737, RFC 3849). */
export function at(address: string, port: number): IpEndpoint {
  return { family: address.includes(":") ? 6 : 4, address, port };
}

export const clientAt = at("192.0.2.1", 40000);
export const frontendAt = at("192.0.2.2", 443);
export const backendAt = at("192.0.2.3", 80);

/** The default settings of connections, modified by `more`. */
export function connectionSettings(more: Partial<ConnectionSettings>): ConnectionSettings {
  const settings = workerSettings(start([]).config);
  const limits = { ...settings.limits, handshakes: 1000 };
  const counted = { frontends: ["front"], alpn: more.alpn ?? [] };
  return {
    ...{ ...settings, backend: backendAt, backendSources: [], alpn: [], limits, counted },
    measures: false,
    ...more,
  };
}

/** Connections with timeouts of 10 seconds and a manual clock; records connects and events. */
export function fakeConnections(settings: Partial<ConnectionSettings> = {}) {
  const clock = new HandClock();
  const connects: FakeConnect[] = [];
  const failures: ConnectionFailure[] = [];
  const established: Connection[] = [];
  const closed: Connection[] = [];
  const connections = new Connections(
    {
      connect(backend, handler, source, tls) {
        const stream = new FakeStream(handler, backend, at("192.0.2.2", 50000));
        connects.push({ stream, source, tls });
        return stream;
      },
    },
    connectionSettings({
      ...{ handshakeTimeout: 10, backendConnectTimeout: 10, halfCloseTimeout: 10 },
      ...settings,
    }),
    {
      established: (connection) => established.push(connection),
      failed: (_, failure) => failures.push(failure),
      closed: (connection) => closed.push(connection),
    },
    clock,
  );
  return { clock, connections, connects, failures, established, closed };
}
