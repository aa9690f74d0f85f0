import type { StreamOwner } from "./stream.ts";

/** Owns a stream that has no connection behind it: not yet, or because it was turned away. */
export const nobody: StreamOwner = {
  opened() {},
  received() {},
  writable() {},
  ended() {},
  closed() {},
};
