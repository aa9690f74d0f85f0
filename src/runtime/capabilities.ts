import type { Protocol } from "./tls.ts";

/** What one runtime can do. A configuration that needs what is false here is refused at start. */
export interface Capabilities {
  /** The local address of a backend connection can be chosen. */
  readonly backendSource: boolean;
  /** Workers take over listening sockets which the master opened, Unix sockets among them. */
  readonly adoptSockets: boolean;
  /** `Listener.update` exists: new certificates serve new connections of a running worker. */
  readonly swapCertificates: boolean;
  /** The TLS versions that can be offered; the first is the oldest. */
  readonly protocols: readonly Protocol[];
  /** The offered versions can be chosen. */
  readonly chooseProtocols: boolean;
  /** A list of TLS 1.2 ciphers can be given. */
  readonly ciphers: boolean;
  /** A list of TLS 1.3 cipher suites can be given. */
  readonly ciphersuites: boolean;
  /** A list of groups can be given. */
  readonly curves: boolean;
  /** The server's order of ciphers can be made to count. */
  readonly preferServerCiphers: boolean;
  /** RSA and ECDSA certificates can serve one name side by side. */
  readonly dualCertificates: boolean;
  /** A ClientHello can be answered by the alert `unrecognized_name`. */
  readonly sniAbort: boolean;
  /** Clients can be asked for certificates. */
  readonly verifyClients: boolean;
  /** A PROXY header can be read before TLS. */
  readonly headerFirst: boolean;
  /** DH parameters, and so DHE ciphers, have a use. */
  readonly dhParameters: boolean;
  /** OCSP responses can be stapled. */
  readonly staples: boolean;
  /** How long sessions can be resumed can be told. */
  readonly sessionTimeout: boolean;
  /** The keys of session tickets are `TlsSettings.ticketKeys`, not the library's own. */
  readonly ticketKeys: boolean;
  /** TLS 1.2 sessions without tickets can be kept by the core. */
  readonly sessionCache: boolean;
  /** OpenSSL engines can be loaded. */
  readonly engines: boolean;
  /** In client mode the CAs can be given, and verification can be left out. */
  readonly backendTrust: boolean;
  /** In client mode the backend can be a Unix socket. */
  readonly unixBackendTls: boolean;
  /** The TLS library keeps the answer of `TlsSettings.select` for each name for ever. */
  readonly remembersNames: boolean;
  /** SNI, TLS version and cipher of a connection can be told. */
  readonly tlsFacts: boolean;
}
