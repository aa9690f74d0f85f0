/** Sessions on their way from one machine to another, sealed; docs/sessions-udp.md has every byte. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { MAX_ID, POLICY_LENGTH } from "./messages.ts";
import { ReplayWindow } from "./replay_window.ts";

/** A session with all that another machine needs to know of it. */
export interface PackedSession {
  readonly policy: Uint8Array;
  readonly id: Uint8Array;
  /** In the TLS library's own form. */
  readonly session: Uint8Array;
  /** Seconds that it has to live. */
  readonly seconds: number;
}

/** Why a packet is not taken. */
export type Refusal =
  /** It is shorter or longer than any packet. */
  | "size"
  /** Another version of stud sent it, or something else. */
  | "version"
  /** It was made more than a time slot ago, or a clock is wrong. */
  | "stale"
  /** It was here before, or so many came after it that nobody knows. */
  | "replayed"
  /** Its sender has another secret, or it was changed in transit. */
  | "unverified"
  /** Its sender has the secret, and sent nonsense. */
  | "malformed";

/** The most bytes of a packet, which no Ethernet has to divide. */
export const MAX_PACKET = 1400;

const VERSION = 1;
const SENDER_LENGTH = 16;
/** Version, sender, time slot and counter. */
const HEADER_LENGTH = 1 + SENDER_LENGTH + 4 + 8;
const SLOT_AT = 1 + SENDER_LENGTH;
const COUNTER_AT = SLOT_AT + 4;
const TAG_LENGTH = 16;
const NONCE_LENGTH = 12;
const KEY_LENGTH = 32;
/** The lengths of id and session, and the lifetime. */
const FIXED_LENGTH = POLICY_LENGTH + 1 + 4 + 2;
/** With an id and a session of one byte each. */
const MIN_PACKET = HEADER_LENGTH + FIXED_LENGTH + 2 + TAG_LENGTH;
/** Seconds of a time slot. */
const SLOT = 300;
/** Of who has not been heard for longest, the window is forgotten. */
const MAX_SENDERS = 256;
const CIPHER = "aes-256-gcm";

/** What all packets of a fleet are sealed by, derived from its secret: 32 bytes. */
export function peersKey(ticketSecret: Uint8Array): Uint8Array {
  return derived(ticketSecret, Buffer.from("stud session peers"));
}

/** Seals the sessions of this process, under a name that it makes up. */
export class PacketSealer {
  readonly sender: Uint8Array = randomBytes(SENDER_LENGTH);
  private readonly key: Uint8Array;
  private readonly now: () => number;
  private counter = 0;
  private slot = -1;
  private slotKey: Uint8Array = EMPTY;

  /** `key` is {@link peersKey}; `now` tells seconds since 1970. */
  constructor(key: Uint8Array, now: () => number) {
    this.key = key;
    this.now = now;
  }

  /** The packet, or undefined when the session is too large for one. */
  seal({ policy, id, session, seconds }: PackedSession): Uint8Array | undefined {
    const length = HEADER_LENGTH + FIXED_LENGTH + id.length + session.length + TAG_LENGTH;
    if (length > MAX_PACKET) return undefined;
    const slot = Math.floor(this.now() / SLOT);
    // The counter goes on, so that receivers need one window for each sender.
    if (slot !== this.slot) this.slotKey = slotKey(this.key, this.sender, slot);
    this.slot = slot;
    const header = Buffer.alloc(HEADER_LENGTH);
    header[0] = VERSION;
    header.set(this.sender, 1);
    header.writeUInt32BE(slot, SLOT_AT);
    header.writeBigUInt64BE(BigInt(this.counter++), COUNTER_AT);
    const numbers = Buffer.alloc(6);
    numbers.writeUInt32BE(seconds);
    numbers.writeUInt16BE(session.length, 4);
    const text = Buffer.concat([policy, Buffer.of(id.length), id, numbers, session]);
    const cipher = createCipheriv(CIPHER, this.slotKey, nonce(header)).setAAD(header);
    return Buffer.concat([header, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  }
}

/** Opens what others have sealed. */
export class PacketOpener {
  private readonly key: Uint8Array;
  private readonly now: () => number;
  /** By name, who was heard last at the end; only who has the secret gets here. */
  private readonly senders = new Map<string, Sender>();

  /** As for {@link PacketSealer}. */
  constructor(key: Uint8Array, now: () => number) {
    this.key = key;
    this.now = now;
  }

  get size(): number {
    return this.senders.size;
  }

  /** What is in a packet, each once, or why it is not taken. */
  open(packet: Uint8Array): PackedSession | Refusal {
    if (packet.length < MIN_PACKET || packet.length > MAX_PACKET) return "size";
    if (packet[0] !== VERSION) return "version";
    const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.length);
    const header = bytes.subarray(0, HEADER_LENGTH);
    const slot = header.readUInt32BE(SLOT_AT);
    if (Math.abs(slot - Math.floor(this.now() / SLOT)) > 1) return "stale";
    const counter = Number(header.readBigUInt64BE(COUNTER_AT));
    if (!Number.isSafeInteger(counter)) return "unverified";
    const name = senderOf(header);
    const id = name.toString("base64");
    const sender = this.senders.get(id) ?? new Sender();
    if (!sender.window.isNew(counter)) return "replayed";
    const text = opened(bytes, sender.keyOf(this.key, name, slot));
    if (!text) return "unverified";
    sender.window.add(counter);
    this.heard(id, sender);
    return unpacked(text) ?? "malformed";
  }

  private heard(id: string, sender: Sender): void {
    this.senders.delete(id);
    this.senders.set(id, sender);
    if (this.senders.size <= MAX_SENDERS) return;
    const [oldest] = this.senders.keys();
    this.senders.delete(oldest!);
  }
}

/** Whether this sender made the packet, which anybody can say. */
export function isFrom(sender: Uint8Array, packet: Uint8Array): boolean {
  return packet.length >= HEADER_LENGTH && senderOf(packet).every((byte, i) => byte === sender[i]);
}

class Sender {
  readonly window = new ReplayWindow();
  private slot = -1;
  private key: Uint8Array = EMPTY;

  /** That of the last packet is kept: it is the next one's as well, but once in a slot. */
  keyOf(key: Uint8Array, name: Uint8Array, slot: number): Uint8Array {
    if (slot !== this.slot) this.key = slotKey(key, name, slot);
    this.slot = slot;
    return this.key;
  }
}

function slotKey(key: Uint8Array, sender: Uint8Array, slot: number): Uint8Array {
  const info = Buffer.concat([Buffer.from("stud session packet"), sender, Buffer.alloc(4)]);
  info.writeUInt32BE(slot, info.length - 4);
  return derived(key, info);
}

/** HKDF-SHA-256 (RFC 5869) without salt. */
function derived(secret: Uint8Array, info: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, EMPTY, info, KEY_LENGTH));
}

function senderOf(packet: Uint8Array): Buffer {
  return Buffer.from(packet.buffer, packet.byteOffset + 1, SENDER_LENGTH);
}

/** Four zeros and the counter: a key has one sender, and he counts on. */
function nonce(header: Buffer): Uint8Array {
  const bytes = new Uint8Array(NONCE_LENGTH);
  bytes.set(header.subarray(COUNTER_AT), NONCE_LENGTH - 8);
  return bytes;
}

function opened(packet: Buffer, key: Uint8Array): Buffer | undefined {
  const header = packet.subarray(0, HEADER_LENGTH);
  const tag = packet.subarray(-TAG_LENGTH);
  const decipher = createDecipheriv(CIPHER, key, nonce(header), { authTagLength: TAG_LENGTH })
    .setAAD(header).setAuthTag(tag);
  const text = decipher.update(packet.subarray(HEADER_LENGTH, -TAG_LENGTH));
  try {
    decipher.final();
    return text;
  } catch {
    return undefined;
  }
}

/** Undefined for what is not exactly one session. */
function unpacked(text: Buffer): PackedSession | undefined {
  const idAt = POLICY_LENGTH + 1;
  const idLength = text[POLICY_LENGTH]!;
  const sessionAt = idAt + idLength + 6;
  if (idLength < 1 || idLength > MAX_ID || sessionAt >= text.length) return undefined;
  if (text.readUInt16BE(sessionAt - 2) !== text.length - sessionAt) return undefined;
  return {
    policy: text.subarray(0, POLICY_LENGTH),
    id: text.subarray(idAt, idAt + idLength),
    seconds: text.readUInt32BE(sessionAt - 6),
    session: text.subarray(sessionAt),
  };
}

const EMPTY = new Uint8Array(0);
