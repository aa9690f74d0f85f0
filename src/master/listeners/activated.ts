import { UsageError } from "../../base/errors.ts";
import type { PassedSocket } from "../../system/activation.ts";
import type { Wanted } from "./listeners.ts";

/**
 * The sockets that the service manager opened under this name: a unit with several addresses gives
 * all of them one. Throws a UsageError when there is none.
 */
export function activatedListeners(sockets: readonly PassedSocket[], name: string): Wanted[] {
  const found = sockets.filter((socket) => socket.name === name);
  if (found.length > 0) {
    return found.map(({ fd, endpoint }) => ({ endpoint, dualStack: false, activated: fd }));
  }
  const names = sockets.map((socket) => socket.name).join(", ");
  const remedy = sockets.length === 0
    ? "the service manager passed none on; see systemd.socket(5)"
    : `those passed on are ${names}; set FileDescriptorName= in the socket unit`;
  throw new UsageError(`--frontend: no socket is called ${JSON.stringify(name)}; ${remedy}`);
}
