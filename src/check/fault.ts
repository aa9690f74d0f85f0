/** Why a step of a check came to no result. */
export type FaultKind =
  | "unresolved"
  | "unreachable"
  | "timeout"
  | "closed"
  | "reset"
  | "not-tls"
  | "alert"
  | "malformed"
  | "unsupported";

/** The server's answer, or its absence, ended a step of a check. The message is one line. */
export class CheckFault extends Error {
  override readonly name = "CheckFault";
  readonly kind: FaultKind;
  /** The number of the server's alert (RFC 8446 section 6), for `alert`. */
  readonly alert?: number;
  /** The first bytes of a server that does not speak TLS, for `not-tls`. */
  readonly received?: Uint8Array;

  constructor(
    kind: FaultKind,
    message: string,
    { alert, received }: Pick<CheckFault, "alert" | "received"> = {},
  ) {
    super(message);
    this.kind = kind;
    if (alert !== undefined) this.alert = alert;
    if (received !== undefined) this.received = received;
  }
}

/** Returns the result of `parse`; what it throws about the bytes becomes a fault of the server. */
export function parsing<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof CheckFault) throw error;
    throw new CheckFault("malformed", `the server sent a malformed ${what}`);
  }
}

/** Names of alerts by their numbers (RFC 8446 section 6; older ones RFC 5246 section 7.2). */
const alerts: Readonly<Record<number, string>> = {
  0: "close_notify",
  10: "unexpected_message",
  20: "bad_record_mac",
  21: "decryption_failed",
  22: "record_overflow",
  30: "decompression_failure",
  40: "handshake_failure",
  41: "no_certificate",
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
  60: "export_restriction",
  70: "protocol_version",
  71: "insufficient_security",
  80: "internal_error",
  86: "inappropriate_fallback",
  90: "user_canceled",
  100: "no_renegotiation",
  109: "missing_extension",
  110: "unsupported_extension",
  111: "certificate_unobtainable",
  112: "unrecognized_name",
  113: "bad_certificate_status_response",
  115: "unknown_psk_identity",
  116: "certificate_required",
  120: "no_application_protocol",
};

/** Returns the name of an alert, or its number. */
export function alertName(alert: number): string {
  return alerts[alert] ?? String(alert);
}
