/** Sealed packets with sessions between machines; docs/sessions-udp.md documents every byte. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { MAX_ID, POLICY_LENGTH } from "./messages.ts";
import { ReplayWindow } from "./replay_window.ts";

/** A session with what another machine needs. */
export interface PackedSession {
  readonly policy: Uint8Array;
  readonly id: Uint8Array;
  /** In the TLS library's own format. */
  readonly session: Uint8Array;
  /** Its remaining lifetime. */
  readonly seconds: number;
}

/** Why a packet is dropped. */
export type Refusal =
  /** It is shorter or longer than any packet. */
  | "size"
  /** It has another version, or is not a stud packet. */
  | "version"
  /** It is more than one time slot old, or a clock is wrong. */
  | "stale"
  /** It was received before, or is older than the replay window. */
  | "replayed"
  /** Its sender has another secret, or it was changed in transit. */
  | "unverified"
  /** Its sender has the secret, but it holds no session. */
  | "malformed";

/** Maximum size of a packet in bytes, which needs no fragmentation on Ethernet. */
export const MAX_PACKET = 1400;

const VERSION = 1;
const SENDER_LENGTH = 16;
/** Length of version, sender, time slot and counter, in bytes. */
const HEADER_LENGTH = 1 + SENDER_LENGTH + 4 + 8;
const SLOT_AT = 1 + SENDER_LENGTH;
const COUNTER_AT = SLOT_AT + 4;
const TAG_LENGTH = 16;
const NONCE_LENGTH = 12;
const KEY_LENGTH = 32;
/** Length of policy, of the lengths of id and session, and of the lifetime, in bytes. */
const FIXED_LENGTH = POLICY_LENGTH + 1 + 4 + 2;
/** With an id and a session of one byte each. */
const MIN_PACKET = HEADER_LENGTH + FIXED_LENGTH + 2 + TAG_LENGTH;
/** Length of a time slot, in seconds. */
const SLOT = 300;
/** Maximum number of senders with a replay window; the least recently heard one is forgotten. */
const MAX_SENDERS = 256;
const CIPHER = "aes-256-gcm";

/** Derives the key that seals all packets of a fleet from the fleet's secret: 32 bytes. */
export function peersKey(ticketSecret: Uint8Array): Uint8Array {
  return derived(ticketSecret, Buffer.from("stud session peers"));
}

/** Seals the sessions of this process, with a random sender name. */
export class PacketSealer {
  readonly sender: Uint8Array = randomBytes(SENDER_LENGTH);
  private readonly key: Uint8Array;
  private readonly now: () => number;
  private counter = 0;
  private slot = -1;
  private slotKey: Uint8Array = EMPTY;

  /** `key` is {@link peersKey}; `now` returns seconds since 1970. */
  constructor(key: Uint8Array, now: () => number) {
    this.key = key;
    this.now = now;
  }

  /** Returns the packet, or undefined if the session is too large for one. */
  seal({ policy, id, session, seconds }: PackedSession): Uint8Array | undefined {
    const length = HEADER_LENGTH + FIXED_LENGTH + id.length + session.length + TAG_LENGTH;
    if (length > MAX_PACKET) return undefined;
    const slot = Math.floor(this.now() / SLOT);
    // The counter continues across slots, so that receivers need one window for each sender.
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

/** Opens the packets of other senders. */
export class PacketOpener {
  private readonly key: Uint8Array;
  private readonly now: () => number;
  /** By name, the most recently heard one last; only senders with the secret are here. */
  private readonly senders = new Map<string, Sender>();

  /** `key` and `now` as for {@link PacketSealer}. */
  constructor(key: Uint8Array, now: () => number) {
    this.key = key;
    this.now = now;
  }

  get size(): number {
    return this.senders.size;
  }

  /** Returns the session in a packet, or why the packet is dropped; each packet is opened once. */
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

/** Whether the packet names this sender; the name is not authenticated. */
export function isFrom(sender: Uint8Array, packet: Uint8Array): boolean {
  return packet.length >= HEADER_LENGTH && senderOf(packet).every((byte, i) => byte === sender[i]);
}

class Sender {
  readonly window = new ReplayWindow();
  private slot = -1;
  private key: Uint8Array = EMPTY;

  /** Keeps the last key: it changes only once in a slot. */
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

/** Four zeros and the counter: a key has one sender, which never repeats a counter. */
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

/** Returns undefined if the text is not exactly one session. */
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
