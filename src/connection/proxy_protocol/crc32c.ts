/** The remainder of each byte by the polynomial of {@link crc32c}, with reversed bits. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0x82f63b78 : remainder >>> 1;
  }
  return remainder;
});

/** Returns the CRC-32C (Castagnoli) of `bytes`, as in RFC 3720 appendix B.4: 0 to 2³² − 1. */
export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    remainder = table[(remainder ^ bytes[i]!) & 0xff]! ^ (remainder >>> 8);
  }
  return ~remainder >>> 0;
}
