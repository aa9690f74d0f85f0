/** The client connections that a process has open, according to the kernel. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Endpoint, endpointText } from "../support/endpoints.ts";

/**
 * The clients, as `127.1.0.1:40000`, of all accepted connections to an IPv4 endpoint that this
 * process has open. Root can query every process.
 */
export function clientsOf(pid: number, endpoint: Endpoint): Set<string> {
  const at = endpointText(endpoint);
  const clients = new Map<string, string>();
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
    if (!local || !remote || addressText(local) !== at) continue;
    clients.set(`socket:[${inode}]`, addressText(remote));
  }
  const held = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const client = clients.get(linkOf(`/proc/${pid}/fd/${fd}`));
    if (client) held.add(client);
  }
  return held;
}

/** The kernel writes the four bytes as one number of this machine, which is little-endian. */
function addressText(text: string): string {
  const [address, port] = text.split(":");
  const bytes = Buffer.from(address!, "hex").reverse();
  return `${bytes.join(".")}:${parseInt(port!, 16)}`;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
