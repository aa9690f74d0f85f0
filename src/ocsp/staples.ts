/** The OCSP responses which a worker has, by the place of their certificate. */
export class Staples {
  private readonly held = new Map<number, { response: Uint8Array; until: number }>();

  /** `until` is in milliseconds since 1970; without it the response has no end. */
  set(certificate: number, response: Uint8Array, until = Infinity): void {
    this.held.set(certificate, { response, until });
  }

  /** The response to staple at `now` (milliseconds since 1970), DER. */
  get(certificate: number, now = Date.now()): Uint8Array | undefined {
    const staple = this.held.get(certificate);
    return staple && now < staple.until ? staple.response : undefined;
  }

  /** Certificates have got new places. */
  clear(): void {
    this.held.clear();
  }
}
