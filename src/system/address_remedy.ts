import { errorNameText } from "../base/error_text.ts";

/** Returns why a bind to an IP address failed and what to do; `code` is the name of the errno. */
export function addressRemedy(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use by another program; stop it or choose another port";
    case "EACCES":
      return "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE";
    case "EADDRNOTAVAIL":
      return "it is not an address of this machine; list them with: ip address";
    case "EAFNOSUPPORT":
      return "this system has no IPv6; use an IPv4 address";
    default:
      return `${errorNameText(code)}; choose another address`;
  }
}
