/** Refuses a Bun that lacks what the adapter uses. Import it before the rest of the adapter. */
import { missingMembers, requireAll } from "../completeness.ts";
import { bun } from "./native.ts";
import { unconnectedSocket } from "./unconnected.ts";

const SOCKET = [
  ...["fd", "write", "pause", "resume", "shutdown", "close", "terminate"],
  ...["alpnProtocol", "getServername", "getTLSVersion", "getCipher", "isSessionReused"],
  ...["getSession", "setSession"],
  ...["getPeerCertificate", "getAuthorizationError", "setVerifyMode", "setKeyCert", "upgradeTLS"],
];

// No other object has the methods of sockets.
const socket = unconnectedSocket();

requireAll(`Bun ${bun.version}`, "Bun 1.4", [
  ...missingMembers("Bun", bun, ["listen", "connect", "gc", "shrink"]),
  ...missingMembers("Socket", socket, SOCKET),
]);

socket?.terminate();
