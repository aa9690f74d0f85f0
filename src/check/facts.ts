/** What a check found out. */
import type { Certificate } from "./certificate.ts";
import type { ChainFacts, TrustResult } from "./chain.ts";
import type { Handshake } from "./offers.ts";
import type { StapleFacts } from "./staple.ts";
import type { Visit } from "./visit.ts";

/** A fact that may be unknown, with the reason. */
export type Known<T> = { readonly value: T } | { readonly unknown: string };

/** How often the server resumed a session. */
export type Resumption = Known<{
  /** What the client kept: for TLS 1.2 a ticket or a session id. "" if the server gave nothing. */
  readonly by: "ticket" | "session id" | "";
  readonly tries: number;
  readonly resumed: number;
}>;

/** How the server answers a client with another name. */
export type NameAnswer = Known<
  | { readonly alert: number }
  | {
    /** DER. */
    readonly leaf: Uint8Array;
    /** It is that of the name that was asked for. */
    readonly isSame: boolean;
  }
>;

/** One certificate chain of the server. */
export interface Served {
  readonly certificates: readonly Certificate[];
  /** Certificates that could not be parsed. */
  readonly unreadable: number;
  readonly chain: ChainFacts;
  readonly trust: TrustResult;
  readonly staple?: StapleFacts;
}

export interface Facts {
  readonly target: string;
  /** It was given as a URL with a path or a query, which are not used. */
  readonly hasUnusedPath: boolean;
  /** The name that the certificate must have: a DNS name or an address; "" for a Unix socket. */
  readonly name: string;
  /** Sent as SNI; absent if none was. */
  readonly serverName?: string;
  readonly address: string;
  readonly addresses: readonly string[];
  readonly unreachable: readonly { readonly address: string; readonly reason: string }[];
  /** In milliseconds. */
  readonly times: {
    readonly resolve?: number;
    readonly connect: number;
    readonly handshake: number;
  };
  /** The best handshake that the server agreed to. */
  readonly handshake: Handshake;
  /** The server refused this name with an alert; the rest is known without it. */
  readonly refusedName?: { readonly name: string; readonly alert: number };
  readonly offeredAlpn: readonly string[];
  /** The server refused the offered ALPN protocols with an alert. */
  readonly refusesAlpn: boolean;
  readonly served: Served;
  /** The chain for clients that accept only the other kind of key. */
  readonly other?: Served;
  /** The file with the CAs. */
  readonly authorities: string;
  /** Whether a version is offered. */
  readonly versions: readonly { readonly version: number; readonly offered: Known<boolean> }[];
  /** The group that the server uses with a client that offers post-quantum ones. */
  readonly modernGroup: Known<number>;
  /** An obsolete cipher that the server accepts, 0 if none. */
  readonly obsoleteCipher: Known<number>;
  readonly clientCertificate: "not requested" | "requested" | "required";
  readonly resumption: { readonly tls12?: Resumption; readonly tls13?: Resumption };
  readonly withoutName?: NameAnswer;
  readonly unknownName?: NameAnswer;
  /** What the server did after the client's end. */
  readonly end: Known<NonNullable<Visit["end"]>>;
  /** Milliseconds since 1970. */
  readonly now: number;
}
