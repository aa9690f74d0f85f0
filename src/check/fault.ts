import { ALERTS } from "../runtime/tls_fault.ts";

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

/** Names of alerts by their numbers, with those that only come encrypted, or from old servers. */
const alerts: Readonly<Record<number, string>> = {
  ...ALERTS,
  // RFC 8446 section 6, RFC 5246 section 7.2, RFC 6066 section 9.
  0: "close_notify",
  21: "decryption_failed",
  30: "decompression_failure",
  41: "no_certificate",
  60: "export_restriction",
  100: "no_renegotiation",
  111: "certificate_unobtainable",
};

/** Returns the name of an alert, or its number. */
export function alertName(alert: number): string {
  return alerts[alert] ?? String(alert);
}
