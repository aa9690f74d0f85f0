/** The plain servers behind the proxies: nginx for requests and downloads, a sink for uploads. */
import { once } from "node:events";
import { truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { type Endpoint, freeEndpoint } from "../tests/support/endpoints.ts";
import { startServer, stopServer } from "./children.ts";

/** The size of one download or upload, in bytes. */
export const LARGE = 64 * 1024 * 1024;

/** `prefixed` requires a PROXY header, version 1 or 2, at the start of each connection. */
export interface Backend {
  readonly plain: Endpoint;
  readonly prefixed: Endpoint;
  stop(): Promise<void>;
}

/** Starts nginx: `/small` returns 3 bytes, `/large` returns {@link LARGE} bytes. */
export async function startNginx(
  directory: string,
  { workers }: { workers: number } = { workers: 1 },
): Promise<Backend> {
  const plain = await freeEndpoint();
  const prefixed = await freeEndpoint();
  writeFileSync(join(directory, "large"), "");
  truncateSync(join(directory, "large"), LARGE);
  const file = join(directory, "backend.conf");
  const listen = ({ host, port }: Endpoint) => `listen ${host}:${port} backlog=4096`;
  writeFileSync(
    file,
    [
      // Only the directory's owner can read it.
      ...(process.getuid!() === 0 ? ["user root;"] : []),
      `worker_processes ${workers};`,
      `pid ${join(directory, "backend.pid")};`,
      `error_log ${join(directory, "backend.log")};`,
      `events { worker_connections 16000; }`,
      `http {`,
      `  access_log off;`,
      `  sendfile on;`,
      `  tcp_nopush on;`,
      `  keepalive_timeout 1h;`,
      `  keepalive_requests 1000000000;`,
      `  server {`,
      `    ${listen(plain)};`,
      `    ${listen(prefixed)} proxy_protocol;`,
      `    root ${directory};`,
      `    location = /small { return 200 "ok\\n"; }`,
      `  }`,
      `}`,
    ].join("\n") + "\n",
  );
  const child = startServer(
    ["nginx", "-c", file, "-g", "daemon off;"],
    ["ignore", "ignore", "inherit"],
  );
  return { plain, prefixed, stop: () => stopServer(child) };
}

/** Starts a server that reads POST requests to the end and answers 200 to {@link LARGE} bytes. */
export async function startSink(): Promise<Backend> {
  const plain = await listen((socket) => readRequests(socket, Buffer.alloc(0)));
  const prefixed = await listen((socket) => {
    socket.once("data", (bytes: Buffer) => {
      const rest = withoutPrefix(bytes);
      if (rest) readRequests(socket, rest);
      else socket.destroy();
    });
  });
  return {
    plain: endpointOf(plain),
    prefixed: endpointOf(prefixed),
    async stop() {
      await Promise.all([plain, prefixed].map((server) => new Promise((end) => server.close(end))));
    },
  };
}

async function listen(handler: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    handler(socket);
  });
  server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 });
  await once(server, "listening");
  return server;
}

function endpointOf(server: Server): Endpoint {
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

/** Returns the bytes after a PROXY header; undefined without one. */
function withoutPrefix(bytes: Buffer): Buffer | undefined {
  if (bytes.indexOf("\r\n\r\n\0\r\nQUIT\n") === 0) {
    return bytes.subarray(16 + bytes.readUInt16BE(14));
  }
  if (bytes.indexOf("PROXY ") === 0) return bytes.subarray(bytes.indexOf("\r\n") + 2);
  return undefined;
}

function readRequests(socket: Socket, first: Buffer): void {
  let head = "";
  let missing = 0;
  const read = (bytes: Buffer) => {
    if (missing === 0) {
      head += bytes.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      // A small request checks the proxy before any load.
      if (head.startsWith("GET ")) return answer(socket);
      // The client sees a cut connection and counts a failure.
      if (length !== LARGE) return socket.destroy();
      missing = length - (head.length - end - 4);
      head = "";
    } else {
      missing -= bytes.length;
    }
    if (missing === 0) answer(socket);
  };
  read(first);
  socket.on("data", read);
}

function answer(socket: Socket): void {
  socket.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
}
