import type { Protocol } from "./tls.ts";

/** What a runtime supports. A configuration that needs what is false here is refused at start. */
export interface Capabilities {
  /** The local address of a backend connection can be chosen. */
  readonly backendSource: boolean;
  /** Workers adopt listening sockets that the master opened, including Unix sockets. */
  readonly adoptSockets: boolean;
  /** `Listener.update` exists: new certificates serve new connections of a running worker. */
  readonly swapCertificates: boolean;
  /** The TLS versions that can be offered; the first is the oldest. */
  readonly protocols: readonly Protocol[];
  /** The offered versions can be chosen. */
  readonly chooseProtocols: boolean;
  /** A server can leave out a version between others. */
  readonly versionGaps: boolean;
  /** A list of TLS 1.2 ciphers can be set. */
  readonly ciphers: boolean;
  /** A list of TLS 1.3 cipher suites can be set. */
  readonly ciphersuites: boolean;
  /** A list of groups can be set. */
  readonly curves: boolean;
  /** What is always offered, as far as it cannot be chosen; ciphers are those of TLS 1.2. */
  readonly offers: {
    readonly ciphers?: readonly string[];
    readonly ciphersuites?: readonly string[];
    readonly curves?: readonly string[];
  };
  /** The server's order of ciphers can take precedence. */
  readonly preferServerCiphers: boolean;
  /** RSA and ECDSA certificates can serve one name side by side. */
  readonly dualCertificates: boolean;
  /** A ClientHello can be answered with the alert `unrecognized_name`. */
  readonly sniAbort: boolean;
  /** Certificates can be requested from clients. */
  readonly verifyClients: boolean;
  /** A PROXY header can be read before TLS. */
  readonly headerFirst: boolean;
  /** DH parameters, and so DHE ciphers, are supported. */
  readonly dhParameters: boolean;
  /** OCSP responses can be stapled. */
  readonly staples: boolean;
  /** The lifetime of sessions can be set. */
  readonly sessionTimeout: boolean;
  /** The keys of session tickets are `TlsSettings.ticketKeys`, not the library's own. */
  readonly ticketKeys: boolean;
  /** TLS 1.2 sessions without tickets can be kept by the core. */
  readonly sessionCache: boolean;
  /** OpenSSL engines can be loaded. */
  readonly engines: boolean;
  /** In client mode the CAs can be set, and verification can be disabled. */
  readonly backendTrust: boolean;
  /** In client mode the backend can be a Unix socket. */
  readonly unixBackendTls: boolean;
  /** `TlsSettings.tickets: false` sends none; otherwise clients get some that never resume. */
  readonly noTickets: boolean;
  /** The TLS library caches the result of `TlsSettings.select` for each name forever. */
  readonly remembersNames: boolean;
  /** `Stream.hasCloseNotify` is known for TLS. */
  readonly closeNotify: boolean;
  /** An end within a TLS record is a failure. */
  readonly truncation: boolean;
  /** SNI, TLS version and cipher of a connection are available. */
  readonly tlsFacts: boolean;
}
