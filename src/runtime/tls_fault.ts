/**
 * What went wrong in a TLS session, in the same terms for BoringSSL, OpenSSL and rustls. The texts of
 * the libraries differ; each stays in `Failure.message`.
 */

/**
 * The peer sent the alert, named as in RFC 8446 section 6, or:
 *
 * - `left`, `early-reset`: the peer left before it sent a byte, with FIN or RST; where the runtime
 *   does not show what came before a reset, this is a reset early in the handshake
 * - `closed`, `reset`: it ended the connection during the handshake, with FIN or RST
 * - `not-tls`: what it sent is no TLS record
 * - `version`, `parameters`, `alpn`: nothing in common; `parameters` are cipher suite, group and
 *   signature algorithm
 * - `server-name`: the server name is not a DNS name, which only rustls refuses
 * - `renegotiation`: it asked for one, which is refused
 * - `decryption`: a record could not be decrypted
 * - `violation`: it violated the protocol in any other way
 */
export type TlsFault =
  | `alert ${string}`
  | "left"
  | "early-reset"
  | "closed"
  | "reset"
  | "not-tls"
  | "version"
  | "parameters"
  | "alpn"
  | "server-name"
  | "renegotiation"
  | "decryption"
  | "violation";

/** The type of the record that a ClientHello comes in (RFC 8446 section 5.1). */
export const HANDSHAKE_RECORD = 22;

/** An alert in the clear that a TLS library did not read. */
export const UNREAD_ALERT = "alert ";

/** The first pattern that matches counts. Texts of BoringSSL and OpenSSL are in lower case. */
const patterns: readonly (readonly [TlsFault, RegExp])[] = [
  ["not-tls", /^(http request|https proxy request|wrong version number|unknown protocol)$/],
  ["not-tls", /^(bad record type|received corrupt message of type InvalidContentType)$/],
  ["version", /^(unsupported protocol|version too low)$/],
  ["version", /^peer is incompatible: (Tls1|Server.*Tls1|Supported|SignatureAlgorithmsExt)/],
  [
    "parameters",
    /^no (shared|suitable|common|cipher) |^(wrong curve|unsupported elliptic curve)$/,
  ],
  ["parameters", /^peer is incompatible: No.*InCommon$/],
  ["alpn", /^no application protocol$|^peer doesn't support any known protocol$/],
  ["server-name", /^peer misbehaved: ServerNameMustContainOneHostName$/],
  ["renegotiation", /^no renegotiation$/],
  ["decryption", /^(decryption failed.*|bad packet length|bad decrypt|digest check failed)$/],
  ["decryption", /^cannot decrypt peer's message$/],
];

/** Returns the fault in a library's text about an error of the protocol. */
export function tlsFault(text: string): TlsFault {
  const alert = /^(?:(?:ssl\/tls|sslv3|tlsv1\d*) (?:alert )?|received fatal alert: )(.+)$/.exec(
    text,
  );
  if (alert) return `alert ${alertName(alert[1]!)}`;
  return patterns.find(([, pattern]) => pattern.test(text))?.[0] ?? "violation";
}

/** `unknown ca` (BoringSSL, OpenSSL) and `UnknownCA` (rustls) are `unknown_ca`. */
function alertName(text: string): string {
  return text.replace(
    /([a-z])([A-Z])|([A-Z])(?=[A-Z][a-z])/g,
    (_, a, b, c) => c ? `${c}_` : `${a}_${b}`,
  )
    .toLowerCase().replaceAll(" ", "_").replace("unrecognised", "unrecognized");
}

/** Alerts that can come unencrypted in a handshake (RFC 8446 section 6, RFC 6066 section 9). */
export const ALERTS: Readonly<Record<number, string>> = {
  10: "unexpected_message",
  20: "bad_record_mac",
  22: "record_overflow",
  40: "handshake_failure",
  42: "bad_certificate",
  43: "unsupported_certificate",
  44: "certificate_revoked",
  45: "certificate_expired",
  46: "certificate_unknown",
  47: "illegal_parameter",
  48: "unknown_ca",
  49: "access_denied",
  50: "decode_error",
  51: "decrypt_error",
  70: "protocol_version",
  71: "insufficient_security",
  80: "internal_error",
  86: "inappropriate_fallback",
  90: "user_canceled",
  109: "missing_extension",
  110: "unsupported_extension",
  112: "unrecognized_name",
  113: "bad_certificate_status_response",
  115: "unknown_psk_identity",
  116: "certificate_required",
  120: "no_application_protocol",
};

const ALERT = 21;

/** Returns the fault of the first unencrypted alert in `bytes`, which begin with a record; undefined: none. */
export function clearAlert(bytes: Uint8Array): TlsFault | undefined {
  for (let at = 0; at + 7 <= bytes.length;) {
    const length = bytes[at + 3]! << 8 | bytes[at + 4]!;
    if (bytes[at + 1] !== 3) return undefined;
    const name = ALERTS[bytes[at + 6]!];
    if (bytes[at] === ALERT && length === 2 && name) return `alert ${name}`;
    at += 5 + length;
  }
  return undefined;
}
