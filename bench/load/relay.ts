/** Forwards bytes, and reads the kind of handshake from the ServerHello of each connection. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Endpoint } from "../../tests/support/endpoints.ts";

/** Number of handshakes seen, by kind. */
export interface Seen {
  full: number;
  resumed: number;
}

/**
 * Runs `load` through a relay to `target` and counts the kinds of handshakes: a load generator does
 * not report which of its sessions were resumed.
 */
export async function watchHandshakes(
  target: Endpoint,
  load: (at: Endpoint) => Promise<unknown>,
): Promise<Seen> {
  const seen: Seen = { full: 0, resumed: 0 };
  const server = createServer({ noDelay: true }, (client) => {
    const proxy = connect({ ...target, noDelay: true });
    relay(client, proxy);
    count(proxy, seen);
  });
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 });
  await once(server, "listening");
  try {
    await load({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
    return seen;
  } finally {
    server.close();
  }
}

function relay(client: Socket, proxy: Socket): void {
  for (const [from, to] of [[client, proxy], [proxy, client]] as const) {
    from.on("error", () => to.destroy());
    from.pipe(to);
  }
}

function count(proxy: Socket, seen: Seen): void {
  let bytes = Buffer.alloc(0);
  const read = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    const kind = kindOf(bytes);
    if (kind === undefined) return;
    proxy.off("data", read);
    seen[kind]++;
  };
  proxy.on("data", read);
}

/** The kind of handshake (RFC 8446 4.1.3, RFC 5246 7.3); undefined until there are enough bytes. */
function kindOf(bytes: Buffer): keyof Seen | undefined {
  const RECORD = 5;
  const CERTIFICATE = 11;
  if (bytes.length < RECORD + 4) return undefined;
  const end = RECORD + 4 + bytes.readUIntBE(RECORD + 1, 3);
  // The next message is in this record or the first in the next one.
  if (bytes.length < end + RECORD + 1) return undefined;
  const extensions = extensionsOf(bytes.subarray(RECORD + 4, end));
  const SUPPORTED_VERSIONS = 43;
  const PRE_SHARED_KEY = 41;
  if (extensions.includes(SUPPORTED_VERSIONS)) {
    return extensions.includes(PRE_SHARED_KEY) ? "resumed" : "full";
  }
  const inRecord = end < RECORD + bytes.readUInt16BE(3);
  const next = inRecord ? bytes[end] : bytes[end] === bytes[0] ? bytes[end + RECORD] : undefined;
  return next === CERTIFICATE ? "full" : "resumed";
}

/** Returns the numbers of a ServerHello's extensions. */
function extensionsOf(hello: Buffer): number[] {
  const sessionId = 2 + 32;
  const numbers: number[] = [];
  let at = sessionId + 1 + hello[sessionId]! + 2 + 1 + 2;
  while (at + 4 <= hello.length) {
    numbers.push(hello.readUInt16BE(at));
    at += 4 + hello.readUInt16BE(at + 2);
  }
  return numbers;
}
