/** Real ClientHellos, captured from the TLS libraries of this machine. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { connect, type ConnectionOptions } from "node:tls";
import type { Endpoint } from "../../support/endpoints.ts";
import { within } from "../../support/until.ts";

/** The first record that node:tls sends with these options; always for the name `localhost`. */
export function captureHello(options: ConnectionOptions): Promise<Buffer> {
  return capture((port) => {
    const client = connect({ servername: "localhost", ...options, host: "127.0.0.1", port });
    client.on("error", () => {});
    return () => client.destroy();
  });
}

/**
 * ClientHellos of all kinds: TLS 1.2 and 1.3, with and without a post-quantum key share, ALPN,
 * a ticket of `server`, and from the openssl program.
 */
export async function captureHellos(server: Endpoint): Promise<Buffer[]> {
  const tickets = [
    await ticketOf(server, { maxVersion: "TLSv1.2" }),
    await ticketOf(server, { minVersion: "TLSv1.3" }),
  ];
  const alpn = { ALPNProtocols: ["h2", "http/1.1"] };
  const options: ConnectionOptions[] = [
    {},
    { ...alpn, ecdhCurve: "X25519" },
    { maxVersion: "TLSv1.2" },
    { ...alpn, maxVersion: "TLSv1.2", ecdhCurve: "P-256" },
    { minVersion: "TLSv1.3", ecdhCurve: "X25519:P-256", ...alpn },
    { minVersion: "TLSv1.3", ecdhCurve: "X25519MLKEM768" },
    ...tickets.map((session) => ({ session })),
  ];
  const hellos: Buffer[] = [];
  for (const each of options) hellos.push(await captureHello(each));
  for (const version of ["-tls1_2", "-tls1_3"]) hellos.push(await openSslHello(version));
  return hellos;
}

function openSslHello(version: string): Promise<Buffer> {
  return capture((port) => {
    const at = ["-connect", `127.0.0.1:${port}`, "-servername", "localhost"];
    const child = spawn("openssl", ["s_client", ...at, version, "-status"], { stdio: "ignore" });
    return () => child.kill("SIGKILL");
  });
}

async function ticketOf(server: Endpoint, options: ConnectionOptions): Promise<Buffer> {
  const client = connect({
    ...server,
    servername: "localhost",
    rejectUnauthorized: false,
    ...options,
  });
  client.on("error", () => {});
  try {
    client.on("secureConnect", () => client.write("E."));
    const [session] = await within(once(client, "session"), "a session") as [Buffer];
    return session;
  } finally {
    client.destroy();
  }
}

/** `begin` starts a client for the port and returns what ends it. */
async function capture(begin: (port: number) => () => void): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = begin((server.address() as AddressInfo).port);
  try {
    const [socket] = await within(once(server, "connection"), "a client") as [Socket];
    let bytes = Buffer.alloc(0);
    for await (const chunk of socket.on("error", () => {})) {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break;
    }
    return bytes;
  } finally {
    end();
    server.close();
  }
}
