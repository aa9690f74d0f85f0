import type { TlsFacts } from "../runtime/tls.ts";
import { certificateRejected, type ConnectionFailure } from "./failure.ts";

/** Which clients must present a certificate, at a frontend that requests one from some of them. */
export interface ClientTrust {
  /** By the server name that the client sent, unchanged; "" without SNI. */
  readonly verifyMode: (serverName: string) => "none" | "optional" | "required";
  /** Names have different modes, so a session of one must not be resumed under another. */
  readonly isMixed: boolean;
}

/**
 * Returns why a client must not reach the backend, or undefined if it may. This check is the one
 * that counts: TLS libraries resume a session under any name.
 */
export function rejection(trust: ClientTrust, tls: TlsFacts): ConnectionFailure | undefined {
  if (trust.isMixed && tls.resumed) {
    const cause = "resumed a session, which is refused where names verify clients differently";
    return { source: "client", code: "client-certificate", cause };
  }
  const mode = trust.verifyMode(tls.serverName ?? "");
  if (mode === "none") return undefined;
  if (!tls.peer) return mode === "required" ? certificateRejected("") : undefined;
  const { verifyError } = tls.peer;
  return verifyError === undefined ? undefined : certificateRejected(verifyError);
}
