import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "../../os/constants.ts";
import { libc } from "./libc.ts";
import { bun, type NativeSocket } from "./native.ts";

/**
 * Returns a socket that never connects, for what only the methods of a socket can show or do; the
 * caller terminates it. Undefined if no descriptor is available, with the reason in `errno`.
 */
export function unconnectedSocket(): NativeSocket | undefined {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  let found: NativeSocket | undefined;
  const ignored = () => {};
  const socket = {
    open: (native: NativeSocket) => void (found = native),
    ...{ data: ignored, drain: ignored, end: ignored, close: ignored, error: ignored },
  };
  bun.connect({ fd, allowHalfOpen: true, data: undefined, socket });
  return found;
}
