/** TLS records and handshake messages on a connection, from a server that may be hostile. */
import { GrowingBuffer } from "../base/growing_buffer.ts";
import type { Plain, Protection } from "./cryptography.ts";
import { alertName, CheckFault, parsing } from "./fault.ts";
import { number } from "./hello.ts";
import type { Wire } from "./wire.ts";

export const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION = 23;

const CLOSE_NOTIFY = 0;

/** Maximum length of a record's payload (RFC 5246 section 6.2.3). */
const MAX_PAYLOAD = 16_384 + 2048;
/** Maximum length of a handshake message, in bytes. Chains of 20 KiB are rare. */
const MAX_MESSAGE = 256 * 1024;

/** A handshake message. */
export interface Message {
  readonly type: number;
  readonly body: Uint8Array;
  /** With its header, as in the transcript. */
  readonly whole: Uint8Array;
}

export class Records {
  readonly wire: Wire;
  /** What protects the server's records from now on. */
  incoming: Protection | undefined;
  /** What protects the client's records from now on. */
  outgoing: Protection | undefined;
  /** In TLS 1.3, ChangeCipherSpec has no meaning. */
  ignoresChange = false;
  private isFirst = true;
  /** The contents of handshake records that are no whole message yet. */
  private readonly handshake = new GrowingBuffer();

  constructor(wire: Wire) {
    this.wire = wire;
  }

  /** Sends one record. */
  send(type: number, content: Uint8Array, version = 0x0303): void {
    this.wire.write(
      this.outgoing?.seal(type, content) ??
        Buffer.concat([number(1, type), number(2, version), number(2, content.length), content]),
    );
  }

  /** Returns the next record that is no alert. Rejects with a CheckFault, also for an alert. */
  async next(): Promise<Plain> {
    const record = await this.any();
    if (record.type !== ALERT) return record;
    const alert = record.content[1] ?? 0;
    throw alert === CLOSE_NOTIFY
      ? new CheckFault("closed", "the server closed the connection with close_notify", { alert })
      : new CheckFault("alert", `the server sent the alert ${alertName(alert)}`, { alert });
  }

  /** Returns the next handshake message. Rejects with a CheckFault. */
  async message(): Promise<Message> {
    for (;;) {
      const complete = this.taken();
      if (complete) return complete;
      const { type, content } = await this.next();
      if (type !== HANDSHAKE) {
        throw new CheckFault(
          "malformed",
          "the server sent another record than its handshake needs",
        );
      }
      this.handshake.add(content);
    }
  }

  /** Returns a message among the bytes of a record that was read, or undefined. */
  taken(content?: Buffer): Message | undefined {
    const bytes = content ? this.handshake.add(content) : this.handshake.bytes;
    if (bytes.length < 4) return undefined;
    const length = 4 + (bytes[1]! << 16 | bytes[2]! << 8 | bytes[3]!);
    if (length > MAX_MESSAGE) {
      throw new CheckFault("malformed", `the server sent a handshake message of ${length} bytes`);
    }
    if (bytes.length < length) return undefined;
    const whole = bytes.subarray(0, length);
    // The memory of the message stays as it is.
    this.handshake.drop(length);
    return { type: whole[0]!, body: whole.subarray(4), whole };
  }

  private async any(): Promise<Plain> {
    for (;;) {
      const header = await this.header();
      const payload = await this.wire.read(header.readUInt16BE(3));
      const [type] = header;
      if (type === CHANGE_CIPHER_SPEC && this.ignoresChange) continue;
      const { incoming } = this;
      // In TLS 1.3 everything else that is protected claims to be application data.
      const isPlain = !incoming || (this.ignoresChange && type !== APPLICATION);
      if (isPlain) return { type: type!, content: payload };
      return parsing("record", () => incoming.open(header, payload));
    }
  }

  private async header(): Promise<Buffer> {
    if (this.isFirst) await this.rejectOtherProtocols();
    const header = await this.wire.read(5);
    const [type, major] = header;
    if (type! < CHANGE_CIPHER_SPEC || type! > APPLICATION || major !== 3) {
      throw new CheckFault("malformed", "the server sent bytes that are no TLS record");
    }
    if (header.readUInt16BE(3) > MAX_PAYLOAD) {
      throw new CheckFault("malformed", "the server sent a record that is too long");
    }
    return header;
  }

  /** Recognizes what is no TLS even if the server sends less than a record's header. */
  private async rejectOtherProtocols(): Promise<void> {
    if (!await this.wire.hasMore()) return;
    this.isFirst = false;
    const received = this.wire.peek(64);
    const isTls = (received[0] === HANDSHAKE || received[0] === ALERT) &&
      (received[1] ?? 3) === 3;
    if (isTls) return;
    throw new CheckFault("not-tls", "the server does not speak TLS", { received });
  }
}
