/** Refuses a Bun that lacks what the adapter uses. Import it before the rest of the adapter. */
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "../../os/constants.ts";
import { missingMembers, requireAll } from "../completeness.ts";
import { libc } from "./libc.ts";
import { bun, type NativeSocket } from "./native.ts";

const SOCKET = [
  ...["fd", "write", "pause", "resume", "shutdown", "close", "terminate"],
  ...["alpnProtocol", "getServername", "getTLSVersion", "getCipher", "isSessionReused"],
  ...["getPeerCertificate", "getAuthorizationError", "setVerifyMode", "setKeyCert", "upgradeTLS"],
];

requireAll(`Bun ${bun.version}`, "Bun 1.4", [
  ...missingMembers("Bun", bun, ["listen", "connect", "gc", "shrink"]),
  ...missingMembers("Socket", anySocket(), SOCKET),
]);

/** Returns a socket that never connects: no other object has the methods of sockets. */
function anySocket(): NativeSocket | undefined {
  const fd = libc.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  let found: NativeSocket | undefined;
  const ignored = () => {};
  const socket = {
    open: (native: NativeSocket) => void (found = native),
    ...{ data: ignored, drain: ignored, end: ignored, close: ignored, error: ignored },
  };
  bun.connect({ fd, allowHalfOpen: true, data: undefined, socket });
  found?.terminate();
  return found;
}
