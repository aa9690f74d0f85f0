import type { TlsFacts } from "../runtime/tls.ts";

/** Who must show a certificate at a frontend that asks some of its clients for one. */
export interface ClientTrust {
  /** By the name that a client asked for, as it sent it; "" for a client without SNI. */
  readonly verifyMode: (serverName: string) => "none" | "optional" | "required";
  /** Not all names are treated alike, so that no session may be taken from one to the other. */
  readonly isMixed: boolean;
}

/**
 * Why a client must not reach the backend, or undefined when it may. The TLS libraries let a session
 * that was made under one name resume under another one, and adapters let every handshake through
 * in which the client has the key of its certificate: here is where it counts.
 */
export function rejectReason(trust: ClientTrust, tls: TlsFacts): string | undefined {
  if (trust.isMixed && tls.resumed) {
    return "a session was resumed where names differ in whom they trust";
  }
  const mode = trust.verifyMode(tls.serverName ?? "");
  if (mode === "none") return undefined;
  if (!tls.peer) return mode === "required" ? "no certificate" : undefined;
  const { verifyError } = tls.peer;
  return verifyError === undefined ? undefined : `its certificate is not trusted: ${verifyError}`;
}
