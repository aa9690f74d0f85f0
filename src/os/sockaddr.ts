/** Endpoints as the kernel's `struct sockaddr`. */
import { endianness } from "node:os";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.ts";
import type { Endpoint } from "./endpoint.ts";
import { ipBytes, ipText, splitZone } from "./ip.ts";
import { cString } from "./structures.ts";

const littleEndian = endianness() === "LE";

/** Returns a `sockaddr_in` (16 bytes), `sockaddr_in6` (28) or `sockaddr_un` (by path length). */
export function sockaddr(endpoint: Endpoint): Uint8Array {
  if (endpoint.family === "unix") return unixSockaddr(endpoint.path);
  const bytes = new Uint8Array(endpoint.family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, endpoint.family === 4 ? AF_INET : AF_INET6, littleEndian);
  view.setUint16(2, endpoint.port);
  const { address, zone } = splitZone(endpoint.address);
  bytes.set(ipBytes(address), endpoint.family === 4 ? 4 : 8);
  if (zone !== "") view.setUint32(24, Number(zone), littleEndian);
  return bytes;
}

/** Maximum length of a path in `sockaddr_un`, in bytes, including the final 0. */
export const MAX_UNIX_PATH = 108;

/** Maximum size of an address that {@link readSockaddr} supports, in bytes. */
export const SOCKADDR_SIZE = 2 + MAX_UNIX_PATH;

/** Returns the endpoint in a sockaddr; undefined if it is empty or of another family. */
export function readSockaddr(bytes: Uint8Array): Endpoint | undefined {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  switch (view.getUint16(0, littleEndian)) {
    case AF_INET:
      return { family: 4, address: ipText(bytes.subarray(4, 8)), port: view.getUint16(2) };
    case AF_INET6:
      return { family: 6, address: ipText(bytes.subarray(8, 24)), port: view.getUint16(2) };
    case AF_UNIX:
      return { family: "unix", path: unixPath(bytes.subarray(2)) };
    default:
      return undefined;
  }
}

/** Returns the constant of an endpoint's address family. */
export function familyOf({ family }: Endpoint): number {
  if (family === "unix") return AF_UNIX;
  return family === 4 ? AF_INET : AF_INET6;
}

/** An abstract name begins with a 0 byte and does not end in one. */
function unixSockaddr(path: string): Uint8Array {
  const name = path.startsWith("@") ? cString(`\0${path.slice(1)}`).slice(0, -1) : cString(path);
  if (name.length > MAX_UNIX_PATH) {
    throw new RangeError(`the path of a socket is too long: ${path}`);
  }
  const bytes = new Uint8Array(2 + name.length);
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, littleEndian);
  bytes.set(name, 2);
  return bytes;
}

function unixPath(name: Uint8Array): string {
  const text = new TextDecoder().decode(name);
  if (text.startsWith("\0")) return `@${text.slice(1)}`;
  return text.split("\0", 1)[0]!;
}
