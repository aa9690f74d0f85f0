/** PEM (RFC 7468). */
import { secretBuffer } from "./secret_buffer.ts";

/** One section of a PEM text. */
export interface PemSection {
  readonly label: string;
  /** The bytes between the lines BEGIN and END, unchecked; a view of the text. */
  readonly body: Buffer;
}

const BEGIN = "-----BEGIN ";
/** Maximum length of a BEGIN line, in bytes. */
const MAX_BEGIN_LINE = 200;
const BASE64_LINE = 64;

/**
 * Returns the sections of a PEM text. It ignores text between them, and BEGIN lines that do not
 * start with exactly five dashes. Throws an Error if a section has no end.
 */
export function pemSections(text: Uint8Array | string): PemSection[] {
  const bytes = typeof text === "string"
    ? Buffer.from(text, "latin1")
    : Buffer.from(text.buffer, text.byteOffset, text.length);
  const found: PemSection[] = [];
  for (let at = bytes.indexOf(BEGIN); at >= 0; at = bytes.indexOf(BEGIN, at)) {
    const label = labelAt(bytes, at);
    const body = at + BEGIN.length;
    if (label === undefined) {
      at = body;
      continue;
    }
    const start = bytes.indexOf("-----", body) + 5;
    const end = bytes.indexOf(`\n-----END ${label}-----`, start);
    const next = bytes.indexOf(`\n${BEGIN}`, start);
    if (end < 0 || (next >= 0 && next < end)) {
      throw new Error(
        `a ${label} section has no END line: the file is truncated; replace it with the complete file`,
      );
    }
    found.push({ label, body: bytes.subarray(start, end) });
    at = end;
  }
  return found;
}

/** Returns the label of a BEGIN line, or undefined if it is not a complete line. */
function labelAt(bytes: Buffer, at: number): string | undefined {
  if (at > 0 && bytes[at - 1] !== 0x0a) return undefined;
  const lineEnd = bytes.subarray(at, at + MAX_BEGIN_LINE).indexOf("\n");
  const line = bytes.toString("latin1", at, lineEnd < 0 ? at + MAX_BEGIN_LINE : at + lineEnd);
  return /^-----BEGIN ([A-Z0-9. ]+)-----[ \t\r]*$/.exec(line)?.[1];
}

/** Returns a section as PEM text with plain line ends. */
export function pemText({ label, body }: PemSection): string {
  const text = body.toString("latin1").replaceAll("\r", "").trim();
  return `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
}

/** Returns the same as bytes that the caller can wipe: no part of the body becomes a string. */
export function pemBytes({ label, body }: PemSection): Buffer {
  const [begin, end] = [`-----BEGIN ${label}-----\n`, `\n-----END ${label}-----\n`];
  const bytes = secretBuffer(begin.length + body.length + end.length);
  let length = bytes.write(begin, "latin1");
  const text = trimmed(body);
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== CARRIAGE_RETURN) bytes[length++] = text[at]!;
  }
  length += bytes.write(end, length, "latin1");
  return bytes.subarray(0, length);
}

function trimmed(body: Buffer): Buffer {
  let [start, end] = [0, body.length];
  while (start < end && SPACES.includes(body[start]!)) start++;
  while (end > start && SPACES.includes(body[end - 1]!)) end--;
  return body.subarray(start, end);
}

const CARRIAGE_RETURN = 0x0d;
/** Tab, line feed, carriage return, space. */
const SPACES: readonly number[] = [0x09, 0x0a, CARRIAGE_RETURN, 0x20];

/** Returns the DER of a section; the caller can wipe it, no part of it becomes a string. */
export function derOf({ body }: PemSection): Buffer {
  const der = secretBuffer(Math.ceil(body.length * 3 / 4));
  let [length, bits, value] = [0, 0, 0];
  for (let i = 0; i < body.length; i++) {
    const digit = DIGITS[body[i]!]!;
    // Line ends, and the padding.
    if (digit < 0) continue;
    value = (value << 6 | digit) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    der[length++] = value >> bits;
  }
  return der.subarray(0, length);
}

/** The values of base64's digits (RFC 4648 section 4) by character, -1 for others. */
const DIGITS = new Int8Array(256).fill(-1);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((digit, value) => {
  DIGITS[digit.charCodeAt(0)] = value;
});

/** Returns DER as PEM text. */
export function derToPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.replaceAll(LINES, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

const LINES = new RegExp(`.{1,${BASE64_LINE}}`, "g");
