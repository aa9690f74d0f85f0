/** A new OCSP response for the certificate at this place. */
export interface StapleCommand {
  readonly type: "staple";
  readonly certificate: number;
  /** Base64 of the DER. */
  readonly response: string;
  /** Milliseconds since 1970 until which it may be served; Infinity does not survive JSON: absent. */
  readonly until?: number;
  /** Its place is one in the `tls` order that follows. */
  readonly next?: true;
}

/** By the place of their certificate; `until` is in milliseconds since 1970. */
type Held = Map<number, { readonly response: Uint8Array; readonly until: number }>;

/** The OCSP responses which a worker has. */
export class Staples {
  private held: Held = new Map();
  private next: Held = new Map();

  /** Without `until` the response has no end. With `next` it counts after {@link exchange}. */
  set({ certificate, response, until = Infinity, next }: Omit<StapleCommand, "type">): void {
    const held = next ? this.next : this.held;
    held.set(certificate, { response: Buffer.from(response, "base64"), until });
  }

  /** The response to staple at `now` (milliseconds since 1970), DER. */
  get(certificate: number, now = Date.now()): Uint8Array | undefined {
    const staple = this.held.get(certificate);
    return staple && now < staple.until ? staple.response : undefined;
  }

  /** Certificates have got new places, for which staples were set as the next ones. */
  exchange(): void {
    this.held = this.next;
    this.forgetNext();
  }

  /** Certificates keep their places after all. */
  forgetNext(): void {
    this.next = new Map();
  }
}
