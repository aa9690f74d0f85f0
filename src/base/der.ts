/**
 * A DER parser (X.690) for the few fields of certificates and CRLs that the runtimes do not report
 * consistently. Small and without schemas, since it runs for each of thousands of certificates.
 */

import { secretBuffer } from "./secret_buffer.ts";

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;

/** An element. Its bytes are views of the input. */
export interface Der {
  /** Class, form and number in one byte; longer tags are refused. */
  readonly tag: number;
  /** The contents, without tag and length. */
  readonly content: Uint8Array;
  /** The whole element, with tag and length. */
  readonly whole: Uint8Array;
}

/** Returns the first element; bytes may follow it. Throws an Error if it is malformed. */
export function firstDer(bytes: Uint8Array): Der {
  const tag = bytes[0];
  const short = bytes[1];
  if (tag === undefined || short === undefined || (tag & 0x1f) === 0x1f) throw malformed();
  let start = 2;
  let length = short;
  if (short >= 0x80) {
    const digits = short & 0x7f;
    // DER has no indefinite length, and no file here is larger than 4 GiB.
    if (digits === 0 || digits > 4) throw malformed();
    length = 0;
    for (; start < 2 + digits; start++) length = length * 256 + (bytes[start] ?? 0);
  }
  const end = start + length;
  if (end > bytes.length) throw malformed();
  return { tag, content: bytes.subarray(start, end), whole: bytes.subarray(0, end) };
}

/** Returns the consecutive elements. Throws an Error if they do not fill the bytes. */
export function allDer(bytes: Uint8Array): Der[] {
  const found: Der[] = [];
  for (let rest = bytes; rest.length > 0;) {
    const next = firstDer(rest);
    found.push(next);
    rest = rest.subarray(next.whole.length);
  }
  return found;
}

/** Returns the elements inside an element. Throws an Error if it has another tag or is malformed. */
export function inside(element: Der | undefined, tag: number): Der[] {
  if (element?.tag !== tag) throw malformed();
  return allDer(element.content);
}

/** Returns a SEQUENCE of elements, below 64 KiB, in a buffer of its own that the caller can wipe. */
export function sequenceOf(...elements: readonly Uint8Array[]): Buffer {
  const length = elements.reduce((sum, { length }) => sum + length, 0);
  const header = length < 0x80
    ? [SEQUENCE, length]
    : length < 0x100
    ? [SEQUENCE, 0x81, length]
    : [SEQUENCE, 0x82, length >> 8, length & 0xff];
  const bytes = secretBuffer(header.length + length);
  bytes.set(header);
  let at = header.length;
  for (const element of elements) {
    bytes.set(element, at);
    at += element.length;
  }
  return bytes;
}

/** Returns an OBJECT IDENTIFIER in dotted form. Throws an Error if it has another tag. */
export function oidText(element: Der | undefined): string {
  if (element?.tag !== OBJECT_IDENTIFIER) throw malformed();
  const numbers: number[] = [];
  let value = 0;
  for (const byte of element.content) {
    value = value * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(value);
    value = 0;
  }
  const [first = 0, ...others] = numbers;
  const arc = Math.min(2, Math.floor(first / 40));
  return [arc, first - 40 * arc, ...others].join(".");
}

/** Returns a time in milliseconds since 1970 (RFC 5280 section 4.1.2.5). Throws an Error if it is none. */
export function timeOf(element: Der | undefined): number {
  const text = Buffer.from(element?.content ?? []).toString("latin1");
  const century = Number(text.slice(0, 2)) < 50 ? "20" : "19";
  const digits = element?.tag === UTC_TIME ? century + text : text;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits) ?? [];
  const isTime = element?.tag === UTC_TIME || element?.tag === GENERALIZED_TIME;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!isTime || Number.isNaN(time)) throw new Error("malformed time");
  return time;
}

/** Returns a positive INTEGER; beyond 2^53 it is not exact. */
export function integer({ content }: Der): number {
  return content.reduce((value, byte) => value * 256 + byte, 0);
}

function malformed(): Error {
  return new Error("malformed DER");
}
