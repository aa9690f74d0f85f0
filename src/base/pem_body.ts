/** What is between the BEGIN and END lines of a PEM section: headers (RFC 1421) and base64. */
import { isBlank, lineEnd, nextLine, skipBlanks } from "./pem_lines.ts";
import { secretBuffer } from "./secret_buffer.ts";

/** Returns where the base64 starts: after the headers and the empty line that ends them. */
export function bodyStart(body: Buffer): number {
  let start = 0;
  for (let at = 0, isHeader = false; at < body.length;) {
    const end = lineEnd(body, at);
    const line = body.subarray(at, end);
    const isEmpty = skipBlanks(line).length === 0;
    // A header's next line is indented.
    if (line.includes(COLON)) isHeader = true;
    else if (isHeader ? isEmpty || !isBlank(line[0]!) : !isEmpty) break;
    at = nextLine(body, end);
    if (isHeader) start = at;
  }
  return start;
}

/**
 * Returns the bytes that the base64 of a body stands for, in a buffer that the caller can wipe, or
 * the offset at which it is not base64.
 */
export function decodeBody(body: Buffer): Buffer | number {
  const start = bodyStart(body);
  const der = secretBuffer(Math.ceil((body.length - start) * 3 / 4));
  let [length, bits, value, isPadded] = [0, 0, 0, false];
  const fail = (at: number) => {
    der.fill(0);
    return at;
  };
  for (let at = start; at < body.length; at++) {
    const byte = body[at]!;
    const digit = DIGITS[byte]!;
    if (digit < 0) {
      if (byte === PADDING) isPadded = true;
      else if (!isBlank(byte)) return fail(at);
      continue;
    }
    if (isPadded) return fail(at);
    value = (value << 6 | digit) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    der[length++] = value >> bits;
  }
  // One digit more than whole groups of four: some are missing.
  return bits === 6 || length === 0 ? fail(body.length) : der.subarray(0, length);
}

/** Returns how many digits of base64 are in a row from `from`, before `to`. */
export function digitsIn(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && DIGITS[bytes[at]!]! >= 0) at++;
  return at - from;
}

const COLON = 0x3a;
const PADDING = 0x3d;

/** The values of base64's digits (RFC 4648 section 4) by character, -1 for others. */
const DIGITS = new Int8Array(256).fill(-1);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((digit, value) => {
  DIGITS[digit.charCodeAt(0)] = value;
});
