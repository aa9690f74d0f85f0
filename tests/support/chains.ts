/** A small public key infrastructure, with mistakes on demand, and servers that show it. */
import { after } from "node:test";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { join } from "node:path";
import { connect } from "node:net";
import { freePort } from "./adapter.ts";
import { until } from "./until.ts";

export interface IssueOptions {
  /** The signer; absent: itself. */
  readonly issuer?: string;
  /** subjectAltName of OpenSSL; "" for none. */
  readonly names?: string;
  readonly ca?: boolean;
  /** Days from now. */
  readonly start?: number;
  readonly end?: number;
  /** For `openssl req -newkey`. */
  readonly key?: readonly string[];
  readonly digest?: string;
  /** More lines of extensions. */
  readonly extensions?: string;
}

const EC = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const DAY_MS = 86_400_000;

export class Chains {
  readonly directory = mkdtempSync(join(tmpdir(), "stud-chains-"));
  readonly #children: ChildProcess[] = [];

  constructor() {
    after(() => {
      for (const child of this.#children) child.kill("SIGKILL");
      rmSync(this.directory, { recursive: true, force: true });
    });
    writeFileSync(this.file("index.txt"), "");
    writeFileSync(this.file("index.txt.attr"), "unique_subject = no\n");
    writeFileSync(
      this.file("openssl.cnf"),
      `[req]\ndistinguished_name = dn\n[dn]\n[ca]\ndefault_ca = own\n[own]\n` +
        `database = ${this.file("index.txt")}\nnew_certs_dir = ${this.directory}\n` +
        `rand_serial = yes\npolicy = any\n[any]\ncommonName = supplied\n`,
    );
  }

  /** Makes `name.crt` and `name.key`. */
  issue(name: string, options: IssueOptions = {}): void {
    const { issuer, names = `DNS:${name}`, ca = false, digest = "sha256", key = EC } = options;
    const { start = -1, end = 90, extensions = "" } = options;
    const lines = [
      ...(names === "" || ca ? [] : [`subjectAltName = ${names}`]),
      ...(ca ? ["basicConstraints = critical, CA:true", "keyUsage = keyCertSign, cRLSign"] : []),
      extensions,
    ];
    writeFileSync(this.file(`${name}.ext`), `${lines.join("\n")}\n`);
    const [csr, own] = [`${name}.csr`, `${name}.key`];
    this.openssl(
      ...["req", "-new", "-nodes", "-config", "openssl.cnf", "-newkey", ...key],
      ...["-keyout", own, "-out", csr, "-subj", `/CN=${name}`],
    );
    const signer = issuer === undefined
      ? ["-selfsign", "-keyfile", own]
      : ["-cert", `${issuer}.crt`, "-keyfile", `${issuer}.key`];
    this.openssl(
      ...["ca", "-batch", "-config", "openssl.cnf", "-in", csr, "-out", `${name}.crt`, "-notext"],
      ...[...signer, "-md", digest, "-extfile", `${name}.ext`],
      ...["-startdate", dateOf(start), "-enddate", dateOf(end)],
    );
  }

  /** Returns the path of a file with these certificates. */
  bundle(...names: readonly string[]): string {
    const path = this.file(`${names.join("+")}.pem`);
    writeFileSync(path, names.map((name) => this.text(`${name}.crt`)).join(""));
    return path;
  }

  /** Returns the path of a PEM file for stud: a key and its chain. */
  pem(leaf: string, ...others: readonly string[]): string {
    const path = this.file(`${leaf}.both.pem`);
    const chain = [leaf, ...others].map((name) => this.text(`${name}.crt`)).join("");
    writeFileSync(path, this.text(`${leaf}.key`) + chain);
    return path;
  }

  /** Returns the path of an OCSP response with the status `V` (valid) or `R` (revoked). */
  ocspResponse(name: string, issuer: string, status: string): string {
    const serial = new X509Certificate(this.text(`${name}.crt`)).serialNumber;
    const revoked = status === "R" ? "260101000000Z" : "";
    const index = `${status}\t401231000000Z\t${revoked}\t${serial}\tunknown\t/CN=${name}\n`;
    writeFileSync(this.file("ocsp.txt"), index);
    const response = this.file(`${name}.${status}.ocsp`);
    this.openssl(
      ...["ocsp", "-index", "ocsp.txt", "-CA", `${issuer}.crt`, "-issuer", `${issuer}.crt`],
      ...["-cert", `${name}.crt`, "-rsigner", `${issuer}.crt`, "-rkey", `${issuer}.key`],
      ...["-no_nonce", "-ndays", "1", "-respout", response],
    );
    return response;
  }

  /** Starts `openssl s_server` with a chain; returns its port. */
  async serve(chain: readonly string[], options: readonly string[] = []): Promise<number> {
    const [leaf, ...others] = chain;
    const key = options.includes("-key") ? [] : ["-key", `${leaf}.key`];
    const rest = others.length === 0 ? [] : ["-cert_chain", this.bundle(...others)];
    const port = freePort();
    const child = spawn(
      "openssl",
      [
        ...["s_server", "-quiet", "-accept", `127.0.0.1:${port}`, "-cert", `${leaf}.crt`],
        ...[...key, ...rest, ...options],
      ],
      {
        cwd: this.directory,
        stdio: ["pipe", "ignore", "pipe"],
        // Debian's configuration excludes old versions.
        env: { ...process.env, OPENSSL_CONF: "/dev/null" },
      },
    );
    this.#children.push(child);
    let stderr = "";
    child.stderr!.on("data", (text) => stderr += text);
    const exited = once(child, "exit").then(() => {
      throw new Error(`openssl s_server: ${stderr}`);
    });
    exited.catch(() => {});
    await Promise.race([until(() => accepts(port), "openssl s_server"), exited]);
    return port;
  }

  openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { cwd: this.directory, stdio: "pipe", timeout: 60_000 });
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  private text(name: string): string {
    return readFileSync(this.file(name), "utf8");
  }
}

/** In the form of `openssl ca`. */
function dateOf(days: number): string {
  const text = new Date(Date.now() + days * DAY_MS).toISOString();
  return `${text.replaceAll(/\D/g, "").slice(0, 14)}Z`;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, "127.0.0.1");
    probe.on("error", () => resolve(false));
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
  });
}
