import type { ExchangeKey } from "./cryptography.ts";
import type { Hello, ServerHello, Share } from "./hello.ts";
import {
  ciphersWith,
  P_256,
  P_384,
  P_521,
  schemesWith,
  X25519,
  X25519_MLKEM768,
} from "./numbers.ts";
import type { Records } from "./records.ts";
import type { Session } from "./session.ts";

/** What a client offers; the rest is as current clients do. */
export interface Offer extends Partial<Pick<Hello, "ciphers" | "groups" | "signatures">> {
  readonly versions: readonly number[];
  readonly serverName?: string;
  readonly alpn: readonly string[];
  readonly resume?: Session;
  /** Instead of real keys, where only the ServerHello is wanted. */
  readonly shares?: readonly Share[];
}

/** What a server did in a handshake. */
export interface Handshake {
  readonly version: number;
  readonly cipher: number;
  readonly group?: number;
  readonly alpn?: string;
  /** DER, as sent. Empty if a session was resumed. */
  readonly chain: readonly Uint8Array[];
  /** The OCSP response that was stapled. */
  readonly staple?: Uint8Array;
  /** The scheme with which the server signed the handshake. */
  readonly signature?: number;
  /** The signature fits the certificate's key; absent if that is not known. */
  readonly isSigned?: boolean;
  readonly resumed: boolean;
  /** The server requests a certificate from clients. */
  readonly requestsCertificate: boolean;
  /** It ended the handshake because there was none. */
  readonly requiresCertificate?: true;
  /** Undefined if the handshake was not completed. */
  readonly session?: Session;
}

/** The state of a handshake, for its two kinds. */
export interface Begun {
  readonly records: Records;
  readonly hello: Hello;
  readonly offer: Offer;
  readonly server: ServerHello;
  /** All handshake messages so far. */
  readonly transcript: Uint8Array[];
  readonly keys: readonly ExchangeKey[];
}

/** The suites with which a handshake can be completed. */
export const COMPLETABLE = ciphersWith(({ gcm, exchange }) => gcm && exchange !== "DHE");
export const ALL_CIPHERS = ciphersWith(() => true);
/** In the order of current clients, without those that not all runtimes have. */
export const GROUPS = [X25519, P_256, P_384];
/** Some of them only to see that the server selects them. */
export const ALL_GROUPS = [...GROUPS, P_521, X25519_MLKEM768];
export const SCHEMES = schemesWith(() => true);
