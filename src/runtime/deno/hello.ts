/** Keeps a handshake waiting until its ClientHello is complete. */
import { setOption } from "../../os/socket_options.ts";
import { SOL_SOCKET } from "../../os/constants.ts";
import { dlopen, libc } from "./api.ts";
import { descriptors, type Hidden } from "./descriptors.ts";

/**
 * With a resolver Deno fails a handshake with EWOULDBLOCK when the ClientHello comes in more than
 * one piece, as large ones with post-quantum keys do: it waits for the first piece only (2.9.6).
 * So accepted sockets inherit a low-water mark which keeps them from being readable, and lose it
 * when the whole ClientHello is there. FIN and RST pass the mark.
 */
export const HOLD = { name: "SO_RCVLOWAT", level: SOL_SOCKET, option: 18, value: 16_384 };
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
/** Milliseconds between two looks; the first is 1. */
const MAX_LOOK_INTERVAL = 64;

const { recv } = dlopen({ recv: ["i32", "buffer", "u64", "i32"] }, "i32");
const helloBuffer = new Uint8Array(HOLD.value);

/** Looks until the ClientHello is there, or the handshake is over without it. */
export async function releaseHello(
  stream: Hidden & { readonly isOpening: boolean },
): Promise<void> {
  const release = (fd: number) => {
    const size = helloBuffer.length;
    const length = recv!(fd, helloBuffer, size, MSG_PEEK | MSG_DONTWAIT) as number;
    const hello = helloBuffer.subarray(0, Math.max(0, length));
    if (length < size && !isWholeHello(hello)) return false;
    return setOption(libc, fd, { ...HOLD, value: 1 });
  };
  for (
    let interval = 1;
    stream.isOpening;
    interval = Math.min(interval * 2, MAX_LOOK_INTERVAL)
  ) {
    if (descriptors.with(stream, release) ?? true) return;
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}

/**
 * RFC 8446 sections 4 and 5.1: a handshake message, in one record or more. True also for what
 * cannot be one, so that rustls refuses it.
 */
function isWholeHello(bytes: Uint8Array): boolean {
  if (bytes.length > 0 && bytes[0] !== 0x16) return true;
  if (bytes.length < 9) return false;
  const wanted = 4 + (bytes[6]! << 16 | bytes[7]! << 8 | bytes[8]!);
  let length = 0;
  let at = 0;
  while (length < wanted && at + 5 <= bytes.length) {
    const size = bytes[at + 3]! << 8 | bytes[at + 4]!;
    if (bytes[at] !== 0x16 || size === 0) return true;
    length += size;
    at += 5 + size;
  }
  return length >= wanted && at <= bytes.length;
}
