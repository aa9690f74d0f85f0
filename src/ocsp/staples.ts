/** A command with a new OCSP response. */
export interface StapleCommand {
  readonly type: "staple";
  /** The certificate's index in `ServedTls.certificates`. */
  readonly certificate: number;
  /** Base64 of the DER. */
  readonly response: string;
  /** When it expires, in milliseconds since 1970; absent: never, since JSON has no Infinity. */
  readonly until?: number;
  /** When the responder made it (thisUpdate), in milliseconds since 1970; absent: unknown. */
  readonly from?: number;
  /** The index is for the certificates of the `tls` command that follows. */
  readonly next?: true;
}

/** By the certificate's index; `until` is in milliseconds since 1970. */
type Held = Map<number, { readonly response: Uint8Array; readonly until: number }>;

/** The OCSP responses of a worker. */
export class Staples {
  private held: Held = new Map();
  private next: Held = new Map();

  /**
   * Without `until` the response does not expire. With `next` it applies after {@link exchange}.
   */
  set({ certificate, response, until = Infinity, next }: Omit<StapleCommand, "type">): void {
    const held = next ? this.next : this.held;
    held.set(certificate, { response: Buffer.from(response, "base64"), until });
  }

  /** Returns the response to staple at `now` (milliseconds since 1970), in DER. */
  get(certificate: number, now = Date.now()): Uint8Array | undefined {
    const staple = this.held.get(certificate);
    return staple && now < staple.until ? staple.response : undefined;
  }

  /** Certificates have new indexes: the next staples become the present ones. */
  exchange(): void {
    this.held = this.next;
    this.forgetNext();
  }

  /** Drops the next staples, since certificates keep their indexes. */
  forgetNext(): void {
    this.next = new Map();
  }
}
