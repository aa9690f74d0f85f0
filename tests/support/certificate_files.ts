/** Certificate files and configurations that name them, for tests of the code that reads them. */
import { execFileSync } from "node:child_process";
import { getDiffieHellman } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { TestContext } from "node:test";
import * as runtime from "#runtime";
import type { Config, FrontendConfig, PemFile } from "../../src/options/config.ts";
import { start } from "./parse.ts";

export type KeyKind = "ec" | "rsa" | "ed25519";

const newKey: Record<KeyKind, readonly string[]> = {
  ec: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
  rsa: ["-newkey", "rsa:2048"],
  ed25519: ["-newkey", "ed25519"],
};

/** Creates a directory for a test, which is removed at its end. */
export function makeDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "stud-certificates-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Runs openssl and returns what it prints. */
export function openssl(args: readonly string[], input = ""): string {
  const settings = { input, encoding: "utf8", timeout: 60_000, stdio: "pipe" } as const;
  return execFileSync("openssl", args, settings);
}

export interface Request {
  readonly key?: KeyKind;
  /** In openssl's syntax: `DNS:a.example,IP:127.0.0.1`; absent: no such extension. */
  readonly names?: string;
  /** In openssl's syntax; `/CN=…` by default. */
  readonly subject?: string;
  /** A PEM file with a CA and its key. */
  readonly signedBy?: string;
  readonly isCa?: boolean;
}

/** Makes `name.pem` with a new key and its certificate, and returns the path. */
export function makePem(directory: string, name: string, request: Request = {}): string {
  const { key = "ec", names, subject = `/CN=${name}`, signedBy, isCa } = request;
  const config = join(directory, "openssl.cnf");
  writeFileSync(config, "[req]\ndistinguished_name = subject\n[subject]\n");
  const path = join(directory, `${name}.pem`);
  const keyPath = `${path}.key`;
  const certificate = openssl([
    ...["req", "-x509", "-nodes", "-days", "60", "-config", config, "-keyout", keyPath],
    ...newKey[key],
    ...["-subj", subject],
    ...(names === undefined ? [] : ["-addext", `subjectAltName=${names}`]),
    ...(isCa ? ["-addext", "basicConstraints=critical,CA:TRUE"] : []),
    ...(signedBy === undefined ? [] : ["-CA", signedBy, "-CAkey", signedBy]),
  ]);
  writeFileSync(path, readFileSync(keyPath, "utf8") + certificate, { mode: 0o600 });
  rmSync(keyPath);
  return path;
}

/** The section of a PEM file whose label ends with `label`, such as `PRIVATE KEY`. */
export function sectionOf(path: string, label: string): string {
  const pattern = new RegExp(`-----BEGIN ([A-Z ]*${label})-----[^]*?-----END \\1-----\n`);
  return pattern.exec(readFileSync(path, "utf8"))![0];
}

/** Usable DH parameters (RFC 3526 group 14) as a PEM section. */
export function dhSection(): string {
  const prime = getDiffieHellman("modp14").getPrime();
  const length = Buffer.alloc(2);
  length.writeUInt16BE(prime.length + 1);
  const fields = Buffer.concat([
    Buffer.of(2, 0x82),
    length,
    Buffer.of(0),
    prime,
    Buffer.of(2, 1, 2),
  ]);
  length.writeUInt16BE(fields.length);
  const der = Buffer.concat([Buffer.of(0x30, 0x82), length, fields]).toString("base64");
  const body = der.replaceAll(/.{64}/g, "$&\n");
  return `-----BEGIN DH PARAMETERS-----\n${body}\n-----END DH PARAMETERS-----\n`;
}

/** The command that runs a TypeScript file in the runtime of this process. */
export function programCommand(path: string): string[] {
  const name: string = runtime.name;
  const words = name === "deno" ? ["run", "-A", "--no-check", "--unstable-net"] : [];
  return [process.execPath, ...words, path];
}

export function pemFile(cert: string, more: Partial<PemFile> = {}): PemFile {
  return { cert, key: "", ocspResponse: "", ocspVerify: false, ...more };
}

/** A frontend on its own port, with the global certificates. */
export function frontend(port: number, more: Partial<FrontendConfig> = {}): FrontendConfig {
  return {
    listen: { host: "127.0.0.1", port },
    pemFiles: [],
    matchGlobalCerts: true,
    sniNomatchAbort: false,
    tls: {
      protocols: ["TLSv1.2", "TLSv1.3"],
      ciphers: "",
      ciphersuites: "",
      curves: "",
      preferServerCiphers: false,
    },
    clientVerify: { mode: "none", ca: "", crl: "" },
    ...more,
  };
}

/** A configuration with one frontend, one worker and, except for `more`, no certificates. */
export function configuration(more: Partial<Config> = {}): Config {
  const { config } = start([]);
  return { ...config, frontends: [frontend(8443)], pemFiles: [], workers: 1, ...more };
}
