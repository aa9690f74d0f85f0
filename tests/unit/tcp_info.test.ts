import assert from "node:assert/strict";
import { test } from "node:test";
import type { Libc } from "../../src/os/libc.ts";
import { isAcknowledged } from "../../src/os/tcp_info.ts";

/** States in `struct tcp_info` (netinet/tcp.h), and the offsets of its counts. */
const TCP_ESTABLISHED = 1;
const TCP_CLOSE = 7;
const UNACKED = 24;
const NOT_SENT = 144;

test("after a reset nothing waits for delivery, whatever the kernel still counts as unsent", () => {
  for (const count of [UNACKED, NOT_SENT]) {
    assert.equal(isAcknowledged(kernelWith(TCP_ESTABLISHED, count), 0), false);
    assert.equal(isAcknowledged(kernelWith(TCP_CLOSE, count), 0), true);
  }
});

/** A kernel that reports a connection in this state, with 1000 in this count. */
function kernelWith(state: number, count: number): Libc {
  return {
    getsockopt(_fd: number, _level: number, _option: number, info: Uint8Array): number {
      const view = new DataView(info.buffer);
      new Uint8Array(info.buffer).fill(0);
      view.setUint8(0, state);
      view.setInt32(count, 1000, true);
      return 0;
    },
  } as unknown as Libc;
}
