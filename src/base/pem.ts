/** PEM (RFC 7468), also as `cat`, editors and other systems leave it. */
import { SEQUENCE } from "./der.ts";
import { bodyStart, decodeBody, digitsIn } from "./pem_body.ts";
import { LineCounter, lineEnd, lineEnds, lineStart, nextLine, skipBlanks } from "./pem_lines.ts";

/** One section of a PEM text. */
export interface PemSection {
  readonly label: string;
  /** The number of its BEGIN line in the text, from 1. */
  readonly line: number;
  /** The bytes between the lines BEGIN and END, unchecked; a view of the text. */
  readonly body: Buffer;
}

export interface PemText {
  readonly sections: readonly PemSection[];
  /**
   * The numbers of lines outside of sections that look like a part of one: a BEGIN or END line with
   * other text in it or without its counterpart, or lines of base64. The first of each gap only.
   */
  readonly strays: readonly number[];
}

const BEGIN = "-----BEGIN ";
const END = "-----END ";
const DASHES = "-----";
/** Maximum length of a label, in bytes. */
const MAX_LABEL = 80;
const BASE64_LINE = 64;
const DASH = 0x2d;
const HASH = 0x23;

/**
 * Returns the sections of a PEM text, which may be glued to each other or to other text, be indented,
 * follow a byte order mark, and have any line ends. Other text between them is ignored, and so is
 * what follows a `#` in a line. Throws an Error that names the line of a section that has no end, or
 * if the text is UTF-16.
 */
export function readPem(text: Uint8Array | string): PemText {
  const bytes = typeof text === "string"
    ? Buffer.from(text)
    : Buffer.from(text.buffer, text.byteOffset, text.length);
  if (bytes.includes(UTF_16_BEGIN)) {
    throw new Error("it is UTF-16 text; convert it to UTF-8, as with iconv -f UTF-16 -t UTF-8");
  }
  const sections: PemSection[] = [];
  const strays: number[] = [];
  const lines = new LineCounter(bytes);
  let gap = 0;
  for (let at = bytes.indexOf(BEGIN); at >= 0; at = bytes.indexOf(BEGIN, at)) {
    const found = sectionAt(bytes, at, gap, lines);
    if (!found) {
      at += BEGIN.length;
      continue;
    }
    strays.push(...strayIn(bytes, gap, at).map((offset) => lines.at(offset)));
    const { label, body } = found;
    sections.push({ label, body, line: lines.at(at) });
    gap = at = found.end;
  }
  strays.push(...strayIn(bytes, gap, bytes.length).map((offset) => lines.at(offset)));
  return { sections, strays };
}

/** Returns only the sections. */
export function pemSections(text: Uint8Array | string): readonly PemSection[] {
  return readPem(text).sections;
}

const UTF_16_BEGIN = Buffer.from("-BEGIN", "utf16le").subarray(0, -1);

interface SectionAt extends Omit<PemSection, "line"> {
  /** Where the text after it starts. */
  readonly end: number;
}

/**
 * Returns the section whose BEGIN is at an offset, and the offset of its end; undefined if it is
 * not one. `gap` is where the text outside of sections starts.
 */
function sectionAt(
  bytes: Buffer,
  at: number,
  gap: number,
  lines: LineCounter,
): SectionAt | undefined {
  const before = bytes.subarray(Math.max(gap, lineStart(bytes, at)), at);
  const label = labelAt(bytes, at + BEGIN.length);
  if (label === undefined || before.at(-1) === DASH || skipBlanks(before).at(0) === HASH) return;
  const start = at + BEGIN.length + label.length + DASHES.length;
  const next = bytes.indexOf(BEGIN, start);
  const inside = bytes.subarray(start, next < 0 ? bytes.length : next);
  const length = inside.indexOf(END);
  const isEnded = length >= 0 && labelAt(inside, length + END.length)?.trim() === label.trim();
  const body = inside.subarray(0, Math.max(0, length));
  const rest = inside.subarray(0, lineEnd(inside, 0));
  if (skipBlanks(before).length > 0 || skipBlanks(rest).length > 0) {
    // Words that mention a BEGIN line are no section; one after words, or in one line, is.
    const der = isEnded ? decodeBody(body) : 0;
    const isData = typeof der !== "number" && der[0] === SEQUENCE;
    if (typeof der !== "number") der.fill(0);
    if (!isData) return;
  }
  if (!isEnded) {
    throw new Error(
      `line ${lines.at(at)}: the ${label.trim()} section has no correct END line: the file is ` +
        "truncated or damaged; replace it with the complete file",
    );
  }
  const end = start + length + END.length + labelAt(inside, length + END.length)!.length +
    DASHES.length;
  return { label: label.trim(), body, end };
}

/** Returns the label that starts at an offset and ends before five dashes in the same line. */
function labelAt(bytes: Buffer, at: number): string | undefined {
  const found = bytes.subarray(at, at + MAX_LABEL + DASHES.length).indexOf(DASHES);
  const label = bytes.toString("latin1", at, at + Math.max(0, found));
  return /^[ -~]+$/.test(label) ? label : undefined;
}

/** Base64 of this length in two consecutive lines does not occur in other text. */
const STRAY_LINE = 48;

/** Returns the offset of the first line between `from` and `to` that looks like a part of a section. */
function strayIn(bytes: Buffer, from: number, to: number): number[] {
  const text = bytes.subarray(from, to);
  const found = [text.indexOf(BEGIN), text.indexOf(END), base64In(text)].filter((at) => at >= 0);
  return found.length === 0 ? [] : [from + Math.min(...found)];
}

function base64In(text: Buffer): number {
  for (let start = 0, before = -1; start < text.length;) {
    const end = lineEnd(text, start);
    const length = digitsIn(text, start, end);
    const isData = length >= STRAY_LINE &&
      skipBlanks(text.subarray(start + length, end)).length === 0;
    if (isData && before >= 0) return before;
    before = isData ? start : -1;
    start = nextLine(text, end);
  }
  return -1;
}

/** Returns a section as PEM text with lines of 64 characters. Throws as {@link derOf} does. */
export function pemText(section: PemSection): string {
  const text = derToPem(section.label, derOf(section));
  const headers = headersOf(section);
  return headers === "" ? text : text.replace("\n", () => `\n${headers}\n\n`);
}

/** Returns the headers of a section (RFC 1421 section 4.6), a line each; "" if it has none. */
export function headersOf({ body }: PemSection): string {
  const headers = body.toString("latin1", 0, bodyStart(body));
  return headers.split(/\s*[\r\n]\s*/).filter((line) => line !== "").join("\n");
}

/**
 * Returns the DER of a section; the caller can wipe it, no part of it becomes a string. Throws an
 * Error that names the line if it is not base64.
 */
export function derOf({ label, line, body }: PemSection): Buffer {
  const der = decodeBody(body);
  if (typeof der !== "number") return der;
  throw new Error(
    `line ${line + lineEnds(body, 0, der)}: it is not base64, as a ${label} section must be; ` +
      "replace the file with the original",
  );
}

/** Returns DER as PEM text. */
export function derToPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  const lines = base64.replaceAll(LINES, "$&\n");
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}

const LINES = new RegExp(`.{1,${BASE64_LINE}}`, "g");
