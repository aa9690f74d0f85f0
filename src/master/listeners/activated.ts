import { UsageError } from "../../base/errors.ts";
import type { PassedSocket } from "../../system/activation.ts";
import type { Wanted } from "./listeners.ts";

/**
 * Returns the sockets that the service manager passed under this name; a unit with several
 * addresses gives them the same name. Throws a UsageError if there is none.
 */
export function activatedListeners(sockets: readonly PassedSocket[], name: string): Wanted[] {
  const found = sockets.filter((socket) => socket.name === name);
  if (found.length > 0) {
    return found.map(({ fd, endpoint }) => ({ endpoint, dualStack: false, activated: fd }));
  }
  const names = sockets.map((socket) => socket.name).join(", ");
  const remedy = sockets.length === 0
    ? "the service manager passed none; see systemd.socket(5)"
    : `it passed ${names}; set FileDescriptorName= in the socket unit`;
  throw new UsageError(`--frontend: no socket is named ${JSON.stringify(name)}; ${remedy}`);
}
