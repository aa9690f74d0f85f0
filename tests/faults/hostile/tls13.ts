/**
 * The minimum of TLS 1.3 (RFC 8446) that a hostile client needs: one group (X25519), one cipher
 * suite (TLS_AES_128_GCM_SHA256), no verification of the certificate. In return, any record can be
 * sent in any state.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Endpoint } from "../../support/endpoints.ts";
import { until, within } from "../../support/until.ts";

/** ContentType, section 5.1. */
export const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION_DATA = 23;
/** AlertLevel and AlertDescription, section 6. */
export const WARNING = 1;
export const FATAL = 2;
export const CLOSE_NOTIFY = 0;

/** An unencrypted record as sent (section 5.1). */
export function plainRecord(type: number, content: Uint8Array, version = 0x0303): Buffer {
  const head = Buffer.from([type, version >> 8, version & 0xff, 0, 0]);
  head.writeUInt16BE(content.length, 3);
  return Buffer.concat([head, content]);
}

/** A connection controlled by the test; it sends nothing unless a method is called. */
export class Tls13Client {
  readonly socket: Socket;
  /** The number of bytes of application data received, and their SHA-256. */
  receivedBytes = 0;
  readonly received = createHash("sha256");
  /** KeyUpdate messages received (section 4.6.3). */
  keyUpdates = 0;
  /** The peer's alerts, as level and description. */
  readonly alerts: (readonly [level: number, description: number])[] = [];
  /** Resolves with how the TCP connection ended: `end`, or an errno. */
  readonly ended: Promise<string>;
  hasEnded = false;
  private readonly keys = generateKeyPairSync("x25519");
  private readonly transcript = createHash("sha256");
  private write: Traffic | undefined;
  private read: Traffic | undefined;
  private handshakeSecret: Buffer | undefined;
  private clientHandshake: Buffer | undefined;
  private serverHandshake: Buffer | undefined;
  private applicationKeys: { readonly client: Traffic; readonly server: Traffic } | undefined;
  private wire: Buffer = Buffer.alloc(0);
  private messages: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    let error = "end";
    socket.on("error", (reason: NodeJS.ErrnoException) => error = reason.code ?? reason.message);
    socket.on("data", (bytes: Buffer) => this.take(bytes));
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.hasEnded = true;
        resolve(error);
      };
      socket.on("end", end).on("close", end);
    });
  }

  /** Connects over TCP; `localAddress` is one of the loopback network. */
  static async open(endpoint: Endpoint, localAddress?: string): Promise<Tls13Client> {
    const socket = connect({
      ...endpoint,
      noDelay: true,
      allowHalfOpen: true,
      ...(localAddress ? { localAddress } : {}),
    });
    const client = new Tls13Client(socket);
    await within(once(socket, "connect"), "a TCP connection");
    return client;
  }

  /** Returns a connection whose handshake is done. */
  static async handshake(endpoint: Endpoint, localAddress?: string): Promise<Tls13Client> {
    const client = await Tls13Client.open(endpoint, localAddress);
    client.hello();
    await client.answered();
    client.finish();
    return client;
  }

  /** Sends the ClientHello. */
  hello(): void {
    const message = clientHello(this.keys.publicKey);
    this.transcript.update(message);
    this.socket.write(plainRecord(HANDSHAKE, message, 0x0301));
  }

  /** Waits for the server's Finished, which is checked; then `finish` may follow. */
  async answered(): Promise<void> {
    await until(() => this.applicationKeys || this.hasEnded, "the server's Finished");
    if (!this.applicationKeys) throw new Error(`the server closed: alerts ${this.alerts}`);
  }

  /** Sends the Finished (section 4.4.4); from now on application data may be sent. */
  finish(): void {
    const proof = finished(this.clientHandshake!, this.transcript.copy().digest());
    this.send(HANDSHAKE, message(FINISHED, proof));
    this.write = this.applicationKeys!.client;
  }

  /** Sends one record, encrypted if there are keys. */
  send(type: number, content: Uint8Array): void {
    this.socket.write(this.record(type, content));
  }

  /** One record, encrypted if there are keys; must be sent before the next one is created. */
  record(type: number, content: Uint8Array): Buffer {
    return this.write ? this.write.seal(type, content) : plainRecord(type, content);
  }

  /** A KeyUpdate (section 4.6.3); must be sent before the next record is created. */
  keyUpdate(isRequested: boolean): Buffer {
    const record = this.record(HANDSHAKE, message(KEY_UPDATE, Buffer.from([isRequested ? 1 : 0])));
    this.write = this.write!.next();
    return record;
  }

  /** Sends bytes as application data and waits until all sent so far have been echoed. */
  async echo(bytes: Uint8Array): Promise<void> {
    const wanted = this.receivedBytes + bytes.length;
    this.send(APPLICATION_DATA, bytes);
    await until(() => this.receivedBytes >= wanted || this.hasEnded, "an echo");
    if (this.receivedBytes !== wanted) throw new Error("the echo is incomplete");
  }

  /** Waits until the kernel has everything that was written. */
  async drained(): Promise<void> {
    await until(
      () => this.socket.writableLength === 0 || this.hasEnded,
      "the kernel has accepted everything",
    );
  }

  private take(bytes: Buffer): void {
    this.wire = this.wire.length > 0 ? Buffer.concat([this.wire, bytes]) : bytes;
    let at = 0;
    while (this.wire.length >= at + 5) {
      const end = at + 5 + this.wire.readUInt16BE(at + 3);
      if (this.wire.length < end) break;
      this.takeRecord(this.wire.subarray(at, end));
      at = end;
    }
    this.wire = this.wire.subarray(at);
  }

  private takeRecord(record: Buffer): void {
    const outer = record[0]!;
    if (outer !== APPLICATION_DATA || !this.read) {
      return this.takeContent(outer, record.subarray(5));
    }
    const { type, content } = this.read.unseal(record);
    this.takeContent(type, content);
  }

  private takeContent(type: number, content: Buffer): void {
    if (type === HANDSHAKE) return this.takeHandshake(content);
    if (type === ALERT) this.alerts.push([content[0]!, content[1]!]);
    if (type !== APPLICATION_DATA) return;
    this.receivedBytes += content.length;
    this.received.update(content);
  }

  private takeHandshake(content: Buffer): void {
    this.messages = Buffer.concat([this.messages, content]);
    while (this.messages.length >= 4) {
      const end = 4 + this.messages.readUIntBE(1, 3);
      if (this.messages.length < end) return;
      const whole = this.messages.subarray(0, end);
      this.messages = this.messages.subarray(end);
      this.takeMessage(whole[0]!, whole);
    }
  }

  private takeMessage(type: number, whole: Buffer): void {
    if (type === KEY_UPDATE) {
      this.keyUpdates++;
      this.read = this.read!.next();
    } else if (this.applicationKeys) {
      // A NewSessionTicket, which is not needed here.
    } else if (type === FINISHED) {
      this.serverFinished(whole);
    } else {
      this.transcript.update(whole);
      if (type === SERVER_HELLO) this.agree(whole);
    }
  }

  /** The key schedule up to the handshake's keys (section 7.1). */
  private agree(serverHello: Buffer): void {
    const publicKey = createPublicKey({
      key: Buffer.concat([X25519_SPKI, serverKeyShare(serverHello)]),
      format: "der",
      type: "spki",
    });
    const shared = diffieHellman({ privateKey: this.keys.privateKey, publicKey });
    const early = extract(Buffer.alloc(HASH), Buffer.alloc(HASH));
    this.handshakeSecret = extract(derive(early, "derived", EMPTY_HASH), shared);
    const hash = this.transcript.copy().digest();
    this.clientHandshake = derive(this.handshakeSecret, "c hs traffic", hash);
    this.serverHandshake = derive(this.handshakeSecret, "s hs traffic", hash);
    this.write = new Traffic(this.clientHandshake);
    this.read = new Traffic(this.serverHandshake);
  }

  private serverFinished(whole: Buffer): void {
    const proof = finished(this.serverHandshake!, this.transcript.copy().digest());
    if (!proof.equals(whole.subarray(4))) throw new Error("the server's Finished is wrong");
    this.transcript.update(whole);
    const main = extract(derive(this.handshakeSecret!, "derived", EMPTY_HASH), Buffer.alloc(HASH));
    const hash = this.transcript.copy().digest();
    this.applicationKeys = {
      client: new Traffic(derive(main, "c ap traffic", hash)),
      server: new Traffic(derive(main, "s ap traffic", hash)),
    };
    this.read = this.applicationKeys.server;
  }
}

/** The keys of one direction (section 7.3) with the record protection (section 5.2). */
class Traffic {
  private readonly secret: Buffer;
  private readonly key: Buffer;
  private readonly iv: Buffer;
  private sequence = 0;

  constructor(secret: Buffer) {
    this.secret = secret;
    this.key = expandLabel(secret, "key", Buffer.alloc(0), 16);
    this.iv = expandLabel(secret, "iv", Buffer.alloc(0), 12);
  }

  /** The keys after a KeyUpdate (section 7.2). */
  next(): Traffic {
    return new Traffic(expandLabel(this.secret, "traffic upd", Buffer.alloc(0), HASH));
  }

  seal(type: number, content: Uint8Array): Buffer {
    const head = Buffer.from([APPLICATION_DATA, 3, 3, 0, 0]);
    head.writeUInt16BE(content.length + 1 + TAG, 3);
    const cipher = createCipheriv("aes-128-gcm", this.key, this.nonce()).setAAD(head);
    const inner = Buffer.concat([content, Buffer.from([type])]);
    return Buffer.concat([head, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  unseal(record: Buffer): { type: number; content: Buffer } {
    const cipher = createDecipheriv("aes-128-gcm", this.key, this.nonce())
      .setAAD(record.subarray(0, 5))
      .setAuthTag(record.subarray(record.length - TAG));
    const inner = Buffer.concat([
      cipher.update(record.subarray(5, record.length - TAG)),
      cipher.final(),
    ]);
    // The type is the last byte that is not padding (section 5.4).
    let end = inner.length - 1;
    while (inner[end] === 0) end--;
    return { type: inner[end]!, content: inner.subarray(0, end) };
  }

  /** Section 5.3; 2^32 records are never reached here. */
  private nonce(): Buffer {
    const nonce = Buffer.from(this.iv);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.sequence++) >>> 0, 8);
    return nonce;
  }
}

/** HandshakeType, section 4. */
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const FINISHED = 20;
const KEY_UPDATE = 24;
const HASH = 32;
const TAG = 16;
const X25519 = 0x001d;
/** The DER prefix of the 32 bytes of a key (RFC 8410 section 4). */
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const EMPTY_HASH = createHash("sha256").digest();

/** Section 4.1.2. */
function clientHello(key: KeyObject): Buffer {
  const share = key.export({ format: "der", type: "spki" }).subarray(X25519_SPKI.length);
  const name = Buffer.from("localhost");
  const extensions = Buffer.concat([
    extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, name)]))),
    // supported_groups, signature_algorithms, supported_versions, key_share: section 4.2.
    extension(10, vector(2, uint16(X25519))),
    extension(13, vector(2, uint16(0x0403, 0x0804, 0x0805, 0x0806, 0x0503, 0x0603))),
    extension(43, vector(1, uint16(0x0304))),
    extension(51, vector(2, Buffer.concat([uint16(X25519), vector(2, share)]))),
  ]);
  return message(
    CLIENT_HELLO,
    Buffer.concat([
      uint16(0x0303),
      randomBytes(32),
      vector(1, randomBytes(32)),
      vector(2, uint16(0x1301)),
      vector(1, Buffer.from([0])),
      vector(2, extensions),
    ]),
  );
}

/** Section 4.2.8, in a ServerHello (section 4.1.3). */
function serverKeyShare(hello: Buffer): Buffer {
  // The message header, legacy_version, random, session id, cipher suite, compression.
  let at = 4 + 2 + 32;
  at += 1 + hello[at]! + 2 + 1 + 2;
  while (at < hello.length) {
    const end = at + 4 + hello.readUInt16BE(at + 2);
    if (hello.readUInt16BE(at) === 51) return hello.subarray(at + 8, end);
    at = end;
  }
  throw new Error("the ServerHello has no key share");
}

function finished(secret: Buffer, transcript: Buffer): Buffer {
  const key = expandLabel(secret, "finished", Buffer.alloc(0), HASH);
  return createHmac("sha256", key).update(transcript).digest();
}

/** Derive-Secret, section 7.1. */
function derive(secret: Buffer, label: string, hash: Buffer): Buffer {
  return expandLabel(secret, label, hash, HASH);
}

/** HKDF-Extract (RFC 5869 section 2.2). */
function extract(salt: Buffer, secret: Buffer): Buffer {
  return createHmac("sha256", salt).update(secret).digest();
}

/** HKDF-Expand-Label, section 7.1; never more than one block of the hash is needed. */
function expandLabel(secret: Buffer, label: string, context: Buffer, length: number): Buffer {
  const info = Buffer.concat([
    uint16(length),
    vector(1, Buffer.from(`tls13 ${label}`)),
    vector(1, context),
    Buffer.from([1]),
  ]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}

function message(type: number, body: Uint8Array): Buffer {
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([head, body]);
}

function extension(type: number, body: Uint8Array): Buffer {
  return Buffer.concat([uint16(type), vector(2, body)]);
}

/** A length of `width` bytes, then the content. */
function vector(width: number, content: Uint8Array): Buffer {
  const head = Buffer.alloc(width);
  head.writeUIntBE(content.length, 0, width);
  return Buffer.concat([head, content]);
}

function uint16(...values: number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));
}
