/**
 * Returns a zeroed buffer for a secret, which `fill(0)` wipes completely. Bun keeps the bytes of a
 * small `Buffer.alloc` in its heap, and leaves them there when a view of them moves them elsewhere.
 */
export function secretBuffer(length: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(length));
}
