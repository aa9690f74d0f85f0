/** Certificates, TLS settings, and what is known of a TLS session. */

export type Protocol = "TLSv1.0" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** One certificate, as PEM text that was checked by the core: `key` belongs to the first of `chain`. */
export interface Certificate {
  readonly chain: string;
  /** PKCS#8, not encrypted. */
  readonly key: string;
}

/** What one server name is served with. */
export interface Identity {
  /** One for each type of key, the favourite first; more than one only with `dualCertificates`. */
  readonly certificates: readonly Certificate[];
  /** PEM, only with `capabilities.dhParameters`. */
  readonly dhParameters?: string;
  /** Absent: no client certificate is asked for. */
  readonly verify?: VerifySettings;
  /** The OCSP response to staple just now, DER; only with `capabilities.staples`. */
  readonly staple?: () => Uint8Array | undefined;
}

/**
 * Asks clients for a certificate. The adapter lets every handshake through in which the client
 * proves that it has the key, and tells the result in `TlsFacts.peer`; with `required`, a client
 * without a certificate gets the TLS alert for it.
 */
export interface VerifySettings {
  readonly mode: "optional" | "required";
  /** PEM with the CAs; their names are told to the client. */
  readonly ca: string;
  /** PEM with CRLs, or "". */
  readonly crl: string;
}

/** What a handshake is negotiated from, in the words of the options. */
export interface TlsParameters {
  /** Oldest first, never empty. */
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list for TLS 1.2 and older; "" is the default (`cipherItems` in openssl.ts). */
  readonly ciphers: string;
  /** Colon list of TLS 1.3 cipher suites; "" leaves the library's own. */
  readonly ciphersuites: string;
  /** Colon list of groups; "" leaves the library's own. */
  readonly curves: string;
  readonly preferServerCiphers: boolean;
}

export interface TlsSettings extends TlsParameters {
  /**
   * The number of the identity that serves this name, or undefined to end the handshake with the
   * alert `unrecognized_name` (only with `capabilities.sniAbort`). "" stands for a client without
   * SNI and always has an answer.
   */
  readonly select: (serverName: string) => number | undefined;
  /**
   * What is behind such a number. An adapter asks when a client first needs it and keeps what it
   * made of it; for `select("")` it asks at once, so that mistakes show at start. It may throw.
   */
  readonly identity: (number: number) => Identity;
  /** More than one answer of `select` is possible. */
  readonly choice: boolean;
  /** Protocol names, the server's favourite first; a client that offers only others is refused. */
  readonly alpn: readonly string[];
  /** Clients are given session tickets, and come back by them. */
  readonly tickets: boolean;
  /** Seconds for which a session can be resumed; only with `capabilities.sessionTimeout`. */
  readonly sessionTimeout: number;
  /** By which tickets are made and read, with `capabilities.ticketKeys`. */
  readonly ticketKeys?: TicketKeyring;
  /** Keeps the sessions of clients without tickets; only with `capabilities.sessionCache`. */
  readonly sessions?: SessionStore;
}

/** Sessions of TLS 1.2 and older, each of which comes back by its id under its own policy only. */
export interface SessionStore {
  /** `session` is in the TLS library's own form. */
  store(policy: string, id: Uint8Array, session: Uint8Array): void;
  /** Calls `answer` once, now or later, with such a session if one is there. */
  find(policy: string, id: Uint8Array, answer: (session: Uint8Array | undefined) => void): void;
}

/** Keys of session tickets in the form in which OpenSSL asks for them (RFC 5077 section 4). */
export interface TicketKeyring {
  /**
   * Asked at each ticket: `name` and `iv` are the ticket's, unless it `isNew`. Tickets that were made
   * under another `policy` are not read.
   */
  answer(policy: string, name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer;
}

/** Whether the ticket may be taken (2: and is to be replaced by a new one), and by what; 16 bytes each. */
export type TicketAnswer = readonly [
  verdict: 0 | 1 | 2,
  hmac: Buffer,
  aes: Buffer,
  name: Buffer,
  iv: Buffer,
];

/** TLS towards the backend. */
export interface ClientTlsSettings extends TlsParameters {
  /** For SNI and verification; "" sends no SNI and verifies the address. */
  readonly serverName: string;
  /** A backend that cannot be verified fails in the handshake. */
  readonly verify: boolean;
  /** PEM with the CAs to trust. Without `capabilities.backendTrust` the runtime's own are used. */
  readonly ca: string;
  readonly alpn: readonly string[];
}

/** Certificates and settings in the runtime's own form, shared by listeners of a worker. */
export interface TlsContext {
  readonly settings: TlsSettings;
}

/** TLS towards the backend in the runtime's own form. */
export interface ClientTlsContext {
  readonly settings: ClientTlsSettings;
}

/** What is known of a connection's TLS session; a member is absent where it is unknown or unused. */
export interface TlsFacts {
  /** The name as the client sent it. */
  readonly serverName?: string;
  /** `TLSv1.2`, `TLSv1.3` … */
  readonly version?: string;
  /** OpenSSL's name: `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES256-GCM-SHA384` … */
  readonly cipher?: string;
  readonly alpn?: string;
  readonly resumed?: boolean;
  /** The client's certificate, where one was asked for and sent. */
  readonly peer?: PeerCertificate;
  /** The certificate that was presented to the client, DER, where the library tells which. */
  readonly presented?: Uint8Array;
}

/** What a client showed. */
export interface PeerCertificate {
  /** DER. */
  readonly der: Uint8Array;
  /** Why it is not to be trusted, as OpenSSL's name (`CERT_REVOKED` …); absent: it is. */
  readonly verifyError?: string;
}
