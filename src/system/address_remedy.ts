import process from "node:process";
import { errorNameText } from "../base/error_text.ts";

/** Returns why a bind to an IP address failed and what to do; `code` is the name of the errno. */
export function addressRemedy(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use by another program; stop it or choose another port";
    case "EACCES":
      return `ports below 1024 need root or the capability CAP_NET_BIND_SERVICE; ${grant()}`;
    case "EADDRNOTAVAIL":
      return "it is not an address of this machine; list them with: ip address";
    case "EAFNOSUPPORT":
      return "this system has no IPv6; use an IPv4 address";
    case "ENODEV":
      return "this machine has no such interface; see them with: ip address";
    default:
      return `${errorNameText(code)}; choose another address`;
  }
}

/** How to get the capability; an interpreter would pass it on to every program that it runs. */
function grant(): string {
  const program = process.execPath;
  const isStud = /\/stud[^/]*$/.test(program);
  return isStud
    ? `run: setcap cap_net_bind_service=+ep ${program}`
    : "start as root with --user, or set AmbientCapabilities= in the service's unit";
}
