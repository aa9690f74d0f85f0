/** Certificates, TLS settings, and facts about a TLS session. */

export type Protocol = "TLSv1.0" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** One certificate, as PEM text that the core has checked: `key` belongs to the first of `chain`. */
export interface Certificate {
  readonly chain: string;
  /** PKCS#8, not encrypted. */
  readonly key: string;
}

/** What one server name is served with. */
export interface Identity {
  /** One for each type of key, the preferred first; more than one only with `dualCertificates`. */
  readonly certificates: readonly Certificate[];
  /** PEM, only with `capabilities.dhParameters`. */
  readonly dhParameters?: string;
  /** Absent: no client certificate is requested. */
  readonly verify?: VerifySettings;
  /** Returns the current OCSP response to staple, DER; only with `capabilities.staples`. */
  readonly staple?: () => Uint8Array | undefined;
}

/**
 * Requests a certificate from clients. The adapter completes every handshake in which the client
 * proves possession of the key, and reports the result in `TlsFacts.peer`; with `required`, a client
 * without a certificate gets the TLS alert for it.
 */
export interface VerifySettings {
  readonly mode: "optional" | "required";
  /** PEM with the CAs; their names are sent to the client. */
  readonly ca: string;
  /** PEM with CRLs, or "". */
  readonly crl: string;
}

/** The parameters of a handshake, in the terms of the options. */
export interface TlsParameters {
  /** Oldest first, never empty. */
  readonly protocols: readonly Protocol[];
  /** OpenSSL cipher list for TLS 1.2 and older; "" is the default (`cipherItems` in openssl.ts). */
  readonly ciphers: string;
  /** Colon-separated TLS 1.3 cipher suites; "" is the library's default. */
  readonly ciphersuites: string;
  /** Colon-separated groups; "" is the library's default. */
  readonly curves: string;
  readonly preferServerCiphers: boolean;
}

export interface TlsSettings extends TlsParameters {
  /**
   * Returns the number of the identity that serves this name, or undefined to end the handshake with
   * the alert `unrecognized_name` (only with `capabilities.sniAbort`). "" is a client without SNI and
   * always has an identity.
   */
  readonly select: (serverName: string) => number | undefined;
  /**
   * Returns the identity with such a number. An adapter calls it when a client first needs the
   * identity and keeps what it made of it; for `select("")` at once, so that mistakes show at start.
   * It may throw.
   */
  readonly identity: (number: number) => Identity;
  /** `select` can return more than one number. */
  readonly choice: boolean;
  /** Protocol names, the server's preferred first; a client that offers only others is refused. */
  readonly alpn: readonly string[];
  /** Clients can resume sessions; if false, they get no tickets, with `capabilities.noTickets`. */
  readonly tickets: boolean;
  /** Seconds for which a session can be resumed; only with `capabilities.sessionTimeout`. */
  readonly sessionTimeout: number;
  /** The keys that encrypt and decrypt tickets, with `capabilities.ticketKeys`. */
  readonly ticketKeys?: TicketKeyring;
  /** Keeps the sessions of clients without tickets; only with `capabilities.sessionCache`. */
  readonly sessions?: SessionStore;
}

/** Sessions of TLS 1.2 and older, each of which is resumed by its id and under its own policy only. */
export interface SessionStore {
  /** `session` is in the TLS library's own format. */
  store(policy: string, id: Uint8Array, session: Uint8Array): void;
  /** Calls `answer` once, now or later, with such a session if one exists. */
  find(policy: string, id: Uint8Array, answer: (session: Uint8Array | undefined) => void): void;
}

/** Keys of session tickets, for OpenSSL's ticket key callback (RFC 5077 section 4). */
export interface TicketKeyring {
  /**
   * Called for each ticket: `name` and `iv` are the ticket's, unless it `isNew`. Tickets that were
   * issued under another `policy` are not accepted.
   */
  answer(policy: string, name: Buffer, iv: Buffer, isNew: boolean): TicketAnswer;
}

/** The status (0: not accepted, 1: accepted, 2: accepted and to be replaced) and keys of 16 bytes each. */
export type TicketAnswer = readonly [
  status: 0 | 1 | 2,
  hmac: Buffer,
  aes: Buffer,
  name: Buffer,
  iv: Buffer,
];

/** TLS toward the backend. */
export interface ClientTlsSettings extends TlsParameters {
  /** For SNI and verification; "" sends no SNI and verifies the address. */
  readonly serverName: string;
  /** The handshake fails if the backend cannot be verified. */
  readonly verify: boolean;
  /** PEM with the CAs to trust. Without `capabilities.backendTrust` the runtime's own are used. */
  readonly ca: string;
  readonly alpn: readonly string[];
}

/** Certificates and settings in the runtime's own form, shared by the listeners of a worker. */
export interface TlsContext {
  readonly settings: TlsSettings;
}

/** TLS toward the backend in the runtime's own form. */
export interface ClientTlsContext {
  readonly settings: ClientTlsSettings;
}

/** Facts about a connection's TLS session; a member is absent if it is unknown or unused. */
export interface TlsFacts {
  /** The name as the client sent it. */
  readonly serverName?: string;
  /** `TLSv1.2`, `TLSv1.3` … */
  readonly version?: string;
  /** OpenSSL's name: `TLS_AES_256_GCM_SHA384`, `ECDHE-RSA-AES256-GCM-SHA384` … */
  readonly cipher?: string;
  readonly alpn?: string;
  readonly resumed?: boolean;
  /** The client's certificate, if one was requested and sent. */
  readonly peer?: PeerCertificate;
  /** The certificate that was presented to the client, DER, if the library reports which. */
  readonly presented?: Uint8Array;
}

/** The certificate that a client presented. */
export interface PeerCertificate {
  /** DER. */
  readonly der: Uint8Array;
  /** Why it is not trusted, as OpenSSL's name (`CERT_REVOKED` …); absent: it is trusted. */
  readonly verifyError?: string;
}
