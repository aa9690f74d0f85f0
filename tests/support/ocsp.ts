/** A CA with certificates, and `openssl ocsp` as its responder. */
import { after } from "node:test";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The directory of all files here; it is removed at the end. */
export const directory = mkdtempSync(join(tmpdir(), "stud-ocsp-"));
const servers: http.Server[] = [];

after(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  rmSync(directory, { recursive: true, force: true });
});

const keys = {
  ec: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
  rsa: ["-newkey", "rsa:2048"],
  ed25519: ["-newkey", "ed25519"],
} as const;

export interface CertificateOptions {
  readonly key?: keyof typeof keys;
  /** The signer; absent: self-signed. */
  readonly issuer?: string;
  readonly serial?: number;
  /** Additional extensions in the syntax of `openssl req -addext`. */
  readonly extensions?: readonly string[];
  readonly commonName?: string;
}

/** Creates `name.crt` and `name.key`. */
export function makeCertificate(name: string, options: CertificateOptions = {}): void {
  const { key = "ec", issuer, serial, extensions = [], commonName = name } = options;
  // Bun runs all test files in one process: the previous one has removed it.
  mkdirSync(directory, { recursive: true });
  writeFileSync(file("openssl.cnf"), "[req]\ndistinguished_name = subject\n[subject]\n");
  openssl(
    ...["req", "-x509", "-nodes", "-days", "60", "-config", "openssl.cnf", ...keys[key]],
    ...["-keyout", `${name}.key`, "-out", `${name}.crt`, "-subj", `/CN=${commonName}`],
    ...(issuer ? ["-CA", `${issuer}.crt`, "-CAkey", `${issuer}.key`] : []),
    ...(serial === undefined ? [] : ["-set_serial", String(serial)]),
    ...extensions.flatMap((extension) => ["-addext", extension]),
  );
}

/** The concatenated PEM texts of these certificates. */
export function chain(...names: readonly string[]): string {
  return names.map((name) => readFileSync(file(`${name}.crt`), "utf8")).join("");
}

/** openssl's request for these certificates, DER. */
export function opensslRequest(
  names: readonly string[],
  issuer: string,
  digest = "-sha1",
): Uint8Array {
  const files = names.flatMap((name) => [digest, "-cert", `${name}.crt`]);
  openssl("ocsp", "-issuer", `${issuer}.crt`, ...files, "-no_nonce", "-reqout", "request.der");
  return readFileSync(file("request.der"));
}

export interface Answer {
  readonly ca?: string;
  readonly signer?: string;
  readonly status?: "good" | "revoked" | "unknown";
  /** Days until nextUpdate; 0: without nextUpdate. */
  readonly days?: number;
  readonly options?: readonly string[];
}

/** The response of `openssl ocsp`, DER. */
export function answer(request: Uint8Array, serial: number, how: Answer = {}): Uint8Array {
  const { ca = "ca", signer = "ca", status = "good", days = 1, options = [] } = how;
  writeFileSync(file("asked.der"), request);
  const hex = serial.toString(16).toUpperCase();
  const padded = hex.length % 2 ? `0${hex}` : hex;
  const entry = status === "revoked" ? "R\t401231000000Z\t260101000000Z" : "V\t401231000000Z\t";
  writeFileSync(
    file("index.txt"),
    status === "unknown" ? "" : `${entry}\t${padded}\tunknown\t/CN=leaf\n`,
  );
  openssl(
    ...["ocsp", "-index", "index.txt", "-CA", `${ca}.crt`, "-reqin", "asked.der"],
    ...["-rsigner", `${signer}.crt`, "-rkey", `${signer}.key`, "-respout", "answer.der"],
    ...(days === 0 ? [] : ["-ndays", String(days)]),
    ...options,
  );
  return readFileSync(file("answer.der"));
}

/** Serves on a free port of 127.0.0.1; returns the URL without a trailing slash. */
export async function serveHttp(handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function bodyOf(request: http.IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function file(name: string): string {
  return join(directory, name);
}

export function openssl(...args: readonly string[]): string {
  return execFileSync("openssl", args, {
    cwd: directory,
    stdio: "pipe",
    timeout: 60_000,
    encoding: "utf8",
  });
}
