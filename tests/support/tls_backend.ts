/** TLS backends for the tests of client mode. */
import { after } from "node:test";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as net from "node:net";
import * as tls from "node:tls";
import type { ClientTlsSettings } from "../../src/runtime/tls.ts";
import type { Certificate } from "../../src/runtime/tls.ts";
import type { IpEndpoint } from "../../src/os/endpoint.ts";
import { freePort, loopback, until } from "./adapter.ts";
import type { Issued } from "./authority.ts";

export interface TlsBackend {
  readonly endpoint: IpEndpoint;
  /** The peers whose handshake is done. */
  readonly peers: readonly tls.TLSSocket[];
  /** Plaintext bytes received from all peers. */
  received: number;
}

/** A TLS server in this process; `talk` gets each peer after its handshake. */
export async function startTlsBackend(
  { chain, key }: Certificate,
  talk: (peer: tls.TLSSocket) => void = () => {},
  alpn: string[] = [],
): Promise<TlsBackend> {
  const peers: tls.TLSSocket[] = [];
  const server = tls.createServer({
    cert: chain,
    key,
    allowHalfOpen: true,
    // Only this event reports a half-open peer that disconnects during the handshake.
    handshakeTimeout: 2000,
    ...(alpn.length > 0 ? { ALPNProtocols: alpn } : {}),
  } as tls.TlsOptions);
  server.on("tlsClientError", (_, peer) => peer.destroy());
  server.on("secureConnection", (peer) => {
    peers.push(peer);
    peer.on("error", () => {});
    peer.on("data", (bytes: Uint8Array) => backend.received += bytes.length);
    talk(peer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    for (const peer of peers) peer.destroy();
    server.close();
  });
  const backend = {
    endpoint: loopback((server.address() as net.AddressInfo).port),
    peers,
    received: 0,
  };
  return backend;
}

/**
 * `openssl s_server` that writes what it receives to its standard output; with `-www` it answers a
 * request with facts about its session.
 */
export async function startSServer(
  { file }: Issued,
  options: readonly string[] = [],
  port = freePort(),
): Promise<{ endpoint: IpEndpoint; process: ChildProcess }> {
  const child = spawn("openssl", [
    "s_server",
    "-quiet",
    "-accept",
    `127.0.0.1:${port}`,
    "-cert",
    file,
    ...options,
  ], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  after(() => void child.kill("SIGKILL"));
  await until(() => accepts(port), "openssl s_server");
  return { endpoint: loopback(port), process: child };
}

export function clientSettings(settings: Partial<ClientTlsSettings>): ClientTlsSettings {
  return {
    serverName: "backend.test",
    verify: true,
    ca: "",
    alpn: [],
    protocols: ["TLSv1.2", "TLSv1.3"],
    ciphers: "",
    ciphersuites: "",
    curves: "",
    preferServerCiphers: true,
    ...settings,
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(port, "127.0.0.1");
    probe.on("error", () => resolve(false));
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
  });
}
