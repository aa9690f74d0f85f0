import type { StreamHandler } from "./stream.ts";

/** Ignores the events of a stream without a connection: it has none yet, or was rejected. */
export const ignoringHandler: StreamHandler = {
  opened() {},
  received() {},
  writable() {},
  ended() {},
  closed() {},
};
