import { formatEndpoint } from "../options/address.ts";
import type { Endpoint } from "../os/endpoint.ts";
import type { Stream } from "../runtime/stream.ts";
import type { TlsFacts } from "../runtime/tls.ts";
import { certificateFacts } from "./certificate_facts.ts";
import type { ConnectionFailure } from "./failure.ts";

/** Facts of a connection that only the access log and `--log-level 2` show. */
export class Observed {
  /** Who ended first; undefined: neither has. */
  endedBy: "client" | "backend" | undefined;
  failure: ConnectionFailure | undefined;
  /** The subject of the client's verified certificate. */
  subject: string | undefined;
  private facts: TlsFacts = {};
  private target: Endpoint | undefined;

  /** Those of the TLS session with the client, in client mode with the backend. */
  get tls(): TlsFacts {
    return this.facts;
  }

  /** The address of the backend, once it is being connected. */
  get backend(): string | undefined {
    return this.target && formatEndpoint(this.target);
  }

  /** To be called while the stream is open, which knows nothing later. */
  opened(stream: Stream): void {
    this.facts = stream.tls();
    const { peer } = this.facts;
    if (peer && peer.verifyError === undefined) this.subject = certificateFacts(peer.der).subject;
  }

  connecting(backend: Endpoint): void {
    this.target = backend;
  }

  /** `client` is still in its handshake if `isHandshake`: only the name that it asks for counts. */
  failed(failure: ConnectionFailure, client: Stream, isHandshake: boolean): void {
    this.failure = failure;
    const { serverName } = isHandshake ? client.tls() : this.facts;
    if (isHandshake && serverName !== undefined) this.facts = { serverName };
  }
}
