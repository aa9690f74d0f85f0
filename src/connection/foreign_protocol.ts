// deno-lint-ignore-file no-control-regex -- binary protocols are matched as Latin-1 text
/** Names the protocol of a peer that does not speak TLS by its first bytes, and what to do about it. */
import { MAX_RECEIVED } from "../runtime/failure.ts";
import { PP2_SIGNATURE } from "./proxy_protocol/constants.ts";

export interface ForeignProtocol {
  /** Completes "the client sent". */
  readonly what: string;
  /** What the operator can do. */
  readonly remedy: string;
}

/** A pattern for the bytes as Latin-1 text. */
type Row = readonly [pattern: RegExp, what: string, remedy: string];

const HTTPS = "use https://";
const IMPLICIT = "use implicit TLS, not STARTTLS";
const NO_HEADER =
  "set --accept-proxy (or --proxy-proxy) if it is wanted, or have its sender omit it";

/** What clients send. The first match counts. */
const clients: readonly Row[] = [
  [/^PRI \* HTTP\/2/, "HTTP/2 in the clear (h2c)", `${HTTPS}, with h2 in --alpn-protos`],
  [/^PROXY (TCP4|TCP6|UNKNOWN)\b/, "a PROXY header (version 1)", NO_HEADER],
  [new RegExp(`^${latin1(PP2_SIGNATURE)}`), "a PROXY header (version 2)", NO_HEADER],
  [/^(OPTIONS|DESCRIBE|SETUP) (rtsp:|\S+ RTSP\/)/i, "plain RTSP", "use rtsps://"],
  [/^[A-Z]{3,16} sips?:/, "plain SIP", "use SIP over TLS"],
  [/^CONNECT \{/, "plain NATS", "use TLS first (handshake_first)"],
  [/^(CONNECT|STOMP)\r?\n/, "plain STOMP", "use STOMP over TLS"],
  [
    /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|[A-Z-]{3,16}) (\/|\*|https?:|[^ ]+ HTTP\/)/,
    "plain HTTP",
    HTTPS,
  ],
  [/^SSH-/, "SSH", "connect to the port of the SSH server, or use a client that wraps SSH in TLS"],
  [/^(EHLO|HELO|LHLO)\b/i, "plain SMTP", `${IMPLICIT} (port 465)`],
  [/^\S{1,16} (CAPABILITY|STARTTLS|LOGIN|NOOP|ID|AUTHENTICATE)\b/i, "plain IMAP", IMPLICIT],
  [/^(CAPA|STLS|APOP)\b/i, "plain POP3", IMPLICIT],
  [/^AUTH (TLS|SSL)/i, "FTP", "use implicit TLS (ftps)"],
  [/^USER /i, "plain FTP, POP3 or IRC", IMPLICIT],
  [/^(NICK|CAP LS) ?/i, "plain IRC", "use the client's TLS setting"],
  [/^(<\?xml|<stream:stream)/, "plain XMPP", "use direct TLS (XEP-0368)"],
  [
    /^\0\0\0\x08\x04\xd2\x16[\x2f\x30]/,
    "PostgreSQL's SSLRequest",
    "use sslnegotiation=direct (PostgreSQL 17)",
  ],
  [/^\0\0.{2}\0\x03\0\0/s, "plain PostgreSQL", "use sslmode=require with sslnegotiation=direct"],
  [/^\x10[\0-\xff]{1,4}\0(\x04MQTT|\x06MQIsdp)/, "plain MQTT", "use mqtts:// (port 8883)"],
  [/^\x03\0\0.[\0-\xff]\xe0/s, "RDP", "use a gateway for RDP: it begins TLS by itself"],
  [/^AMQP/, "plain AMQP", "use amqps://"],
  [/^\*\d+\r\n\$|^PING\r\n/, "plain Redis", "use rediss:// or --tls"],
  [/^\x30.{0,5}\x02[\x01-\x04]/s, "plain LDAP", "use ldaps://, not StartTLS"],
  [/^[^]{12}(\xdd\x07|\xd4\x07)\0\0/, "plain MongoDB", "use tls=true"],
  [/^\x12\x01\0.\0\0/s, "plain TDS (SQL Server)", "use Encrypt=Strict (TDS 8.0)"],
  [/^\x05[\x01-\x08]|^\x04[\x01\x02]/, "SOCKS", "stud is not a SOCKS proxy"],
  [/^\x16\xfe[\xfd\xff]/, "DTLS", "use TLS over TCP"],
  [/^[\x80-\xff].\x01[\0\x03]/s, "an SSLv2 ClientHello", "use a client with TLS 1.2 or later"],
  [
    /^(stats|version|gets? \S+|set \S+ \d+ \d+ \d+)\r?\n/,
    "plain memcached",
    "use the client's TLS setting",
  ],
];

/** What an operator can do about a backend that does not speak TLS. */
export const TLS_PORT = "use the backend's TLS port, or omit --client";

/** How servers that do not speak TLS answer or greet. */
const backends: readonly Row[] = [
  [/^HTTP\/\d/, "plain HTTP", TLS_PORT],
  [/^\0{2}.\x04\0/s, "plain HTTP/2", TLS_PORT],
  [/^SSH-/, "SSH", TLS_PORT],
  [
    /^220[ -].*\b(E?SMTP|mail)\b/i,
    "plain SMTP",
    "use the backend's TLS port (465; STARTTLS is not supported), or omit --client",
  ],
  [/^220[ -]/, "plain FTP or SMTP", TLS_PORT],
  [/^\+OK\b/, "plain POP3", TLS_PORT],
  [/^\* (OK|PREAUTH|BYE)\b/, "plain IMAP", TLS_PORT],
  [/^.{2}\0\0\x0a[\x30-\x39]/s, "MySQL", "stud cannot connect to it: MySQL begins TLS by itself"],
  [/^[NSE]$/, "PostgreSQL", TLS_PORT],
  [/^-(ERR|NOAUTH|DENIED)\b/, "plain Redis", TLS_PORT],
  [/^<\?xml|^<stream/, "plain XMPP", TLS_PORT],
  [/^AMQP/, "plain AMQP", TLS_PORT],
  [/^@RSYNCD:/, "rsync", TLS_PORT],
  [/^RFB \d/, "VNC", TLS_PORT],
];

/** Returns undefined for a protocol that is not known. */
export function recognize(
  bytes: Uint8Array,
  peer: "client" | "backend",
): ForeignProtocol | undefined {
  const text = Buffer.from(bytes.subarray(0, MAX_RECEIVED)).toString("latin1");
  const row = (peer === "client" ? clients : backends).find(([pattern]) => pattern.test(text));
  return row && { what: row[1], remedy: row[2] };
}

/** The bytes as a regular expression. */
function latin1(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
