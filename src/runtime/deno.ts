/**
 * The adapter for Deno 2.9: `Deno.listenTls` and `Deno.startTls` (rustls), and libc through FFI for
 * what Deno lacks.
 */
import "./deno/needs.ts";
import "./deno/debugger_signal.ts";
import "./deno/file_size_signal.ts";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { MFD_CLOEXEC } from "../os/constants.ts";
import { cString } from "../os/structures.ts";
import { Deno, libc } from "./deno/api.ts";
import { listen } from "./deno/listen.ts";
import { offers } from "./deno/offers.ts";
import { createTlsContext } from "./deno/server_tls.ts";
import { DenoStream } from "./deno/stream.ts";
import type { Runtime } from "./runtime.ts";
import type { ClientTlsContext, ClientTlsSettings, PassedOver } from "./tls.ts";
import type { Stream, StreamHandler } from "./stream.ts";
import type { Endpoint, IpEndpoint } from "../os/endpoint.ts";
import type { Capabilities } from "./capabilities.ts";

export const name = "deno";

export const capabilities: Capabilities = {
  backendSource: false,
  adoptSockets: false,
  swapCertificates: false,
  protocols: ["TLSv1.2", "TLSv1.3"],
  chooseProtocols: false,
  versionGaps: false,
  ciphers: false,
  ciphersuites: false,
  curves: false,
  offers,
  preferServerCiphers: false,
  dualCertificates: false,
  sniAbort: false,
  verifyClients: false,
  headerFirst: false,
  dhParameters: false,
  staples: false,
  sessionTimeout: false,
  ticketKeys: false,
  sessionCache: false,
  engines: false,
  backendTrust: false,
  unixBackendTls: false,
  noTickets: false,
  remembersNames: true,
  closeNotify: true,
  truncation: false,
  tlsFacts: false,
};

/** Deno does not report its TLS library's version; these are from the binary of the pinned version. */
const BUILT_WITH: Readonly<Record<string, string>> = {
  "2.9.6": "rustls 0.23.40 with aws-lc-rs 1.16.3",
};

export function versions(): { runtime: string; tls: string } {
  const { deno } = Deno.version;
  return { runtime: `Deno ${deno}`, tls: BUILT_WITH[deno] ?? "rustls" };
}

/** A compiled binary contains its flags; `--unstable-net` is for `reusePort`. */
export const self: string[] = Deno.build.standalone ? [Deno.execPath()] : [
  Deno.execPath(),
  "run",
  "-A",
  "--unstable-net",
  "--quiet",
  Deno.mainModule.startsWith("file:") ? fileURLToPath(Deno.mainModule) : Deno.mainModule,
];

/**
 * As in {@link Runtime}: copies the bundle to a file in memory, which children of this process load by
 * its descriptor here. The sources are many files, and a compiled binary is one that Deno reads itself.
 */
export function keepProgram(): void {
  const file = self.at(-1)!;
  if (!file.endsWith(".js")) return;
  const bytes = readFileSync(file);
  const fd = libc.memfd_create(cString("stud"), MFD_CLOEXEC);
  for (let written = 0; written < bytes.length;) {
    const count = fd < 0 ? -1 : libc.write(fd, bytes.subarray(written), bytes.length - written);
    if (count <= 0) throw new Error(`cannot keep a copy of ${file}: errno ${libc.errno()}`);
    written += count;
  }
  self.splice(-1, 1, "--ext=js", `/proc/${process.pid}/fd/${fd}`);
}

export { createTlsContext, libc, listen };

export const workerEnvironment = {};

/** As in {@link Runtime}. Deno makes rustls' configuration for each connection; errors show then. */
export function createClientTls(settings: ClientTlsSettings): ClientTlsContext {
  return { settings };
}

/** Nothing: rustls uses no lists. */
export function passedOver(): PassedOver {
  return { ciphers: "", ciphersuites: "", curves: "" };
}

/** As in {@link Runtime}: V8 collects in time, but glibc keeps what the TLS library has freed. */
export function collectGarbage(): void {
  libc.malloc_trim(0);
}

/** As in {@link Runtime}: tokio's threads end when they have nothing to do, so none can be kept. */
export function startThreads(): void {}

export function loadEngine(): never {
  throw new Error("Deno's TLS library is rustls, which cannot load OpenSSL engines");
}

/** Throws: the Deno build has no sessions to send. */
export function openDatagrams(): never {
  throw new Error("the Deno adapter opens no UDP sockets");
}

/** As in {@link Runtime}. With TLS to a Unix socket, which Deno lacks, it closes with ENOTSUP. */
export function connect(
  backend: Endpoint,
  handler: StreamHandler,
  _source?: IpEndpoint,
  tls?: ClientTlsContext,
): Stream {
  const isTcp = backend.family !== "unix";
  const stream = new DenoStream(backend, unknownLocal(backend), tls === undefined, isTcp);
  stream.handler = handler;
  if (backend.family !== "unix") void stream.dial(backend, tls?.settings);
  else void stream.dialUnix(backend, tls !== undefined);
  return stream;
}

/** Returns our address as far as it is known before the stream is connected. */
function unknownLocal({ family }: Endpoint): Endpoint {
  if (family === "unix") return { family, path: "" };
  return { family, address: family === 4 ? "0.0.0.0" : "::", port: 0 };
}

type Conforms<T extends Runtime> = T;
/** Does not compile if an export of this module does not fit the contract. */
export type Check = Conforms<typeof import("./deno.ts")>;
