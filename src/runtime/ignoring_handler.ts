import type { StreamHandler } from "./stream.ts";

/** Owns a stream that has no connection behind it: not yet, or because it was turned away. */
export const ignoringHandler: StreamHandler = {
  opened() {},
  received() {},
  writable() {},
  ended() {},
  closed() {},
};
