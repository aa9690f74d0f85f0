/** The counters of a worker's connections. Each is declared here, and nowhere else. */
import { type CounterFamily, CounterSet } from "../base/counters.ts";
import { type ConnectionFailure, FAILURE_CODES, FAILURE_SOURCES } from "./failure.ts";

const VERSIONS = ["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0", "unknown"] as const;
const KINDS = ["full", "resumed", "unknown"] as const;
/** Maximum number of ALPN protocols that are counted separately; the others are `other`. */
const MAX_PROTOCOLS = 16;

/** Returns the declarations. `alpn` lists the negotiated protocols, at most 16. */
function families(alpn: readonly string[]): readonly CounterFamily[] {
  return [
    {
      name: "connections_accepted_total",
      help: "Connections accepted from clients.",
      labels: {},
    },
    {
      name: "client_bytes_total",
      help: "Plain bytes received from clients and sent to them.",
      labels: { direction: ["received", "sent"] },
    },
    {
      name: "connection_failures_total",
      help: "Failed connections by source and reason.",
      labels: { source: FAILURE_SOURCES, code: FAILURE_CODES },
    },
    {
      name: "handshakes_total",
      help: "TLS handshakes completed with clients.",
      labels: { version: VERSIONS, kind: KINDS, alpn: [...alpn, "none", "other"] },
    },
  ];
}

// Places in `ConnectionCounters.values`, in the order of the declaration above.
export const ACCEPTED = 0;
export const BYTES_RECEIVED = 1;
export const BYTES_SENT = 2;
const FAILURES = 3;
const HANDSHAKES = FAILURES + FAILURE_SOURCES.length * FAILURE_CODES.length;

/** The counters of one worker, or the sums of several that negotiate the same protocols. */
export class ConnectionCounters extends CounterSet {
  private readonly alpn: readonly string[];

  /** `alpn` lists the negotiated protocols. */
  constructor(alpn: readonly string[]) {
    const counted = alpn.slice(0, MAX_PROTOCOLS);
    super(families(counted));
    this.alpn = counted;
  }

  /** Counts a failed connection. */
  failed({ source, code }: Pick<ConnectionFailure, "source" | "code">): void {
    const row = FAILURE_SOURCES.indexOf(source) * FAILURE_CODES.length;
    this.values[FAILURES + row + FAILURE_CODES.indexOf(code)]!++;
  }

  /** Counts a handshake with a client; `undefined` is what the TLS library does not report. */
  handshakeDone(
    version: string | undefined,
    isResumed: boolean | undefined,
    alpn: string | undefined,
  ): void {
    const kind = isResumed === undefined ? 2 : isResumed ? 1 : 0;
    const row = (versionIndex(version) * KINDS.length + kind) * (this.alpn.length + 2);
    this.values[HANDSHAKES + row + this.alpnIndex(alpn)]!++;
  }

  private alpnIndex(protocol: string | undefined): number {
    const { alpn } = this;
    if (protocol === undefined) return alpn.length;
    const index = alpn.indexOf(protocol);
    return index < 0 ? alpn.length + 1 : index;
  }
}

function versionIndex(version: string | undefined): number {
  switch (version) {
    case "TLSv1.3":
      return 0;
    case "TLSv1.2":
      return 1;
    case "TLSv1.1":
      return 2;
    // The libraries' name for TLS 1.0.
    case "TLSv1":
      return 3;
    default:
      return 4;
  }
}
