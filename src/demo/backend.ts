/**
 * The demo's backend, not part of the proxy. It opens plain sockets, as otherwise only the adapters
 * do, since it must read the prefix before the HTTP request.
 */
import { createServer, type Socket } from "node:net";
import { ipText } from "../os/ip.ts";

const MAX_REQUEST = 64 * 1024;
const REQUEST_LIMIT_MS = 10_000;

/** Listens on a free port of 127.0.0.1 and returns its number. */
export function startBackend(): Promise<number> {
  const server = createServer(answer);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
}

/** Answers one HTTP request with the contents of its prefix and its request line. */
function answer(socket: Socket): void {
  let received = Buffer.alloc(0);
  socket.setTimeout(REQUEST_LIMIT_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes) => {
    received = Buffer.concat([received, bytes as Buffer]);
    if (received.length > MAX_REQUEST) return socket.destroy();
    const prefix = readPrefix(received);
    if (!prefix) return;
    const request = received.toString("latin1", prefix.length);
    if (!request.includes("\r\n\r\n")) return;
    const [line] = request.split("\r\n");
    const body = ["Hello from the backend behind stud.", ...prefix.lines, `request: ${line}`, ""]
      .join("\n");
    socket.end(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n` +
        `Connection: close\r\n\r\n${body}`,
    );
  });
}

interface Prefix {
  readonly length: number;
  readonly lines: readonly string[];
}

const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

/** Returns the prefix before the request, or undefined while it is incomplete. */
function readPrefix(bytes: Buffer): Prefix | undefined {
  if (bytes[0] === V2_SIGNATURE[0]) return readV2(bytes);
  if (bytes[0] === 2) return readWriteIp(bytes, 4);
  if (bytes[0] === 10) return readWriteIp(bytes, 16);
  if (bytes.toString("latin1", 0, 6) !== "PROXY ") return { length: 0, lines: [] };
  const end = bytes.indexOf("\r\n");
  if (end < 0) return undefined;
  const line = bytes.toString("latin1", 0, end);
  return { length: end + 2, lines: [`prefix: ${line}`, `client: ${line.split(" ")[2]}`] };
}

function readWriteIp(bytes: Buffer, size: number): Prefix | undefined {
  if (bytes.length < 1 + size) return undefined;
  const client = ipText(bytes.subarray(1, 1 + size));
  return { length: 1 + size, lines: ["prefix: write-ip", `client: ${client}`] };
}

/** The PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt, section 2.2). */
function readV2(bytes: Buffer): Prefix | undefined {
  if (bytes.length < 16) return undefined;
  const length = 16 + bytes.readUInt16BE(14);
  if (bytes.length < length) return undefined;
  const size = bytes[13] === 0x11 ? 4 : 16;
  const port = bytes.readUInt16BE(16 + 2 * size);
  const lines = ["prefix: PROXY protocol, version 2"];
  lines.push(`client: ${ipText(bytes.subarray(16, 16 + size))} port ${port}`);
  for (const [type, value] of tlvs(bytes.subarray(16 + 2 * size + 4, length))) {
    if (type === 0x02) lines.push(`server name: ${value}`);
    if (type !== 0x20) continue;
    for (const [part, text] of tlvs(value.subarray(5))) {
      if (part === 0x21) lines.push(`TLS version: ${text}`);
      if (part === 0x23) lines.push(`cipher: ${text}`);
    }
  }
  return { length, lines };
}

function* tlvs(bytes: Buffer): Generator<[type: number, value: Buffer]> {
  for (let at = 0; at + 3 <= bytes.length;) {
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    yield [bytes[at]!, bytes.subarray(at + 3, end)];
    at = end;
  }
}
