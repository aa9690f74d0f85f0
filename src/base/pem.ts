/** PEM (RFC 7468). */

/** One section of a PEM text. */
export interface PemSection {
  readonly label: string;
  /** What is between the BEGIN and END lines, unchecked; a view of the text. */
  readonly body: Buffer;
}

const BEGIN = "-----BEGIN ";
/** Maximum length of a BEGIN line, in bytes, more than any label needs. */
const MAX_BEGIN_LINE = 200;
const BASE64_LINE = 64;

/**
 * Returns the sections of a PEM text. Text between them is skipped, and so is a BEGIN line without
 * exactly five leading dashes. Throws an Error if a section has no END line.
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
        `a ${label} section has no END line; the file is truncated, restore it completely`,
      );
    }
    found.push({ label, body: bytes.subarray(start, end) });
    at = end;
  }
  return found;
}

/** Returns the label if a complete BEGIN line starts here. */
function labelAt(bytes: Buffer, at: number): string | undefined {
  if (at > 0 && bytes[at - 1] !== 0x0a) return undefined;
  const lineEnd = bytes.subarray(at, at + MAX_BEGIN_LINE).indexOf("\n");
  const line = bytes.toString("latin1", at, lineEnd < 0 ? at + MAX_BEGIN_LINE : at + lineEnd);
  return /^-----BEGIN ([A-Z0-9. ]+)-----[ \t\r]*$/.exec(line)?.[1];
}

/** Returns a section as PEM text with LF line ends. */
export function pemText({ label, body }: PemSection): string {
  const text = body.toString("latin1").replaceAll("\r", "").trim();
  return `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
}

/** The same as bytes, which the caller can wipe: no part of the body becomes a string. */
export function pemBytes({ label, body }: PemSection): Buffer {
  const [begin, end] = [`-----BEGIN ${label}-----\n`, `\n-----END ${label}-----\n`];
  const bytes = Buffer.alloc(begin.length + body.length + end.length);
  let length = bytes.write(begin, "latin1");
  for (const byte of trimmed(body)) if (byte !== CARRIAGE_RETURN) bytes[length++] = byte;
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

/** Decodes the DER of a section. */
export function derOf({ body }: PemSection): Buffer {
  return Buffer.from(body.toString("latin1"), "base64");
}

/** Encodes DER as PEM text. */
export function derToPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.replaceAll(LINES, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

const LINES = new RegExp(`.{1,${BASE64_LINE}}`, "g");
