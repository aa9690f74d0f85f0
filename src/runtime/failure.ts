/**
 * Why a stream ended before its time. `code` is an errno name (`ECONNRESET`, `ECONNREFUSED`, …)
 * or, for a failed handshake, the TLS library's reason in its own words; `message` is for people.
 */
export interface Failure {
  readonly code: string;
  readonly message: string;
}
