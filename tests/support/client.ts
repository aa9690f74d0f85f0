/** TLS clients, and a wire that can be cut. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import {
  type AddressInfo,
  connect as connectTcp,
  createServer,
  type Socket,
  type TcpNetConnectOpts,
} from "node:net";
import type { Readable } from "node:stream";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { Endpoint } from "./endpoints.ts";
import { within } from "./until.ts";

/** `node:tls` passes unknown options to `node:net`. */
export type ClientOptions =
  & ConnectionOptions
  & Pick<TcpNetConnectOpts, "allowHalfOpen" | "localAddress" | "noDelay">;

/**
 * A connection after its handshake. It is half-open, verifies nothing unless `ca` is given, and
 * sends the name `localhost`; rejects with the error of the TLS library or the system.
 */
export async function openTls(
  endpoint: Endpoint,
  options: ClientOptions = {},
): Promise<TLSSocket> {
  const all: ClientOptions = {
    servername: "localhost",
    rejectUnauthorized: options.ca !== undefined,
    allowHalfOpen: true,
    ...endpoint,
    ...options,
  };
  const socket = connectTls(all);
  // An alert can arrive in one packet with the end of the handshake.
  socket.on("error", () => {});
  try {
    await within(once(socket, "secureConnect"), "a TLS handshake");
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** Options with which a client requires a certificate of the test CA. */
export function trusting(ca: string): ConnectionOptions {
  return { ca: readFileSync(ca) };
}

/** Returns all bytes until the peer closes cleanly; rejects if the connection is cut. */
export async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const reading = (async () => {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) chunks.push(chunk);
  })();
  await within(reading, "the end of a stream", 120_000);
  return Buffer.concat(chunks);
}

/** Sends everything, half-closes, and returns the whole answer. */
export async function exchange(
  endpoint: Endpoint,
  request: string | Buffer,
  options?: ClientOptions,
): Promise<Buffer> {
  const socket = await openTls(endpoint, options);
  try {
    socket.end(request);
    return await readAll(socket);
  } finally {
    socket.destroy();
  }
}

/** How a connection ended from the peer's point of view: `end` for FIN, `ECONNRESET` for RST. */
export async function ending(socket: Socket): Promise<string> {
  socket.resume();
  if (socket.destroyed) return socket.errored ? code(socket.errored) : "end";
  const ended = new Promise<string>((resolve) => {
    socket.once("error", (error) => resolve(code(error)));
    socket.once("end", () => resolve("end"));
    socket.once("close", () => resolve(socket.errored ? code(socket.errored) : "end"));
  });
  return await within(ended, "the end of a connection");
}

/** A TCP connection to stud controlled by a test, with a local port for a TLS client. */
export interface Wire {
  /** The address for the TLS client. */
  readonly entry: Endpoint;
  /** The side towards stud: `end` sends FIN without close_notify, `resetAndDestroy` RST. */
  readonly socket: Socket;
  /** Everything that stud sent. */
  readonly received: Buffer[];
  close(): void;
}

/** Opens a wire to stud for one TLS client. */
export async function openWire(endpoint: Endpoint): Promise<Wire> {
  const socket = await openTcp(endpoint);
  const received: Buffer[] = [];
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {}).pipe(socket);
    socket.on("data", (bytes: Buffer) => received.push(bytes)).pipe(client);
    socket.on("close", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.close();
    socket.destroy();
  };
  const { port } = server.address() as AddressInfo;
  return { entry: { host: "127.0.0.1", port }, socket, received, close };
}

/** A plain connection, half-open. */
export async function openTcp(endpoint: Endpoint): Promise<Socket> {
  const socket = connectTcp({ ...endpoint, allowHalfOpen: true, noDelay: true });
  socket.on("error", () => {});
  await within(once(socket, "connect"), "a TCP connection");
  return socket;
}

/** The types of the TLS records in a stream of bytes (RFC 8446 section 5.1); 21 is an alert. */
export function recordTypes(chunks: readonly Buffer[]): number[] {
  const bytes = Buffer.concat(chunks);
  const types: number[] = [];
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    types.push(bytes[at]!);
  }
  return types;
}

/** The beginning of a ClientHello, so that stud has something to wait for. */
export const PARTIAL_HELLO = Buffer.from("16030102000100", "hex");

function code(error: Error & { code?: string }): string {
  return error.code ?? error.message;
}
